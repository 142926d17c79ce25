"""HTML pages that load nothing from elsewhere: reports of an evaluation, and a card of each stage."""
