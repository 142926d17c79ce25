"""Names of files that come from elsewhere (a checksum list, an archive): may they be joined to a folder of ours?"""

LONGEST = 255
"""Characters of a whole path: PTB-XL's have 30."""


def path_problem(name: str) -> str | None:
    """What is wrong with a name that should be a plain relative path with ``/`` between its parts; None if nothing is.

    The answer is the same on every operating system, so that what one accepts cannot leave the folder on another.
    """
    if not name or name.strip() != name:
        return "is empty, or begins or ends with a space"
    if len(name) > LONGEST:
        return f"has {len(name):,} characters; allowed: {LONGEST}"
    if not name.isprintable():
        return "holds a control character"
    if "\\" in name or ":" in name:
        return "holds a backslash or a colon (a path or a drive of Windows)"
    if name[0] in "/~":
        return "is absolute or begins with ~"
    parts = name.split("/")
    if ".." in parts:
        return "leaves the folder (..)"
    if "" in parts or "." in parts:
        return "has an empty part or one that is a dot"
    return None


def shortened(name: str, most: int = 80) -> str:
    """A foreign text as a message may show it: quoted, control characters escaped, never long."""
    return repr(name if len(name) <= most else f"{name[: most - 3]}...")
