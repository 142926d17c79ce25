"""The scorer that answers REST requests, and the checks of what it is sent."""
