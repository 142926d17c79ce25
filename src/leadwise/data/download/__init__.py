"""PTB-XL into a folder, from web servers or out of a zip archive: every file checked, and gone on with after a stop."""
