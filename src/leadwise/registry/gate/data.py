"""The data behind candidate and champion: the same, by their digest, or a change that was allowed."""

from dataclasses import dataclass

from leadwise.registry.gate.checks import Check, Limits

NAME = "same data as the champion"


@dataclass(frozen=True)
class Champion:
    """The version that has the alias now, as far as its tags tell.

    Attributes:
        version: as MLflow counts.
        digest: of the data that it was trained and evaluated on; empty where it is not known.
        simulated: whether they are simulated; ``None`` where it is not known.
    """

    version: str
    digest: str
    simulated: bool | None


def data_check(digest: str, champion: Champion | None, limits: Limits) -> Check:
    """Compare the candidate's digest with the champion's.

    Args:
        digest: of the candidate's data.
        champion: ``None`` where there is none.
        limits: whether a change of data is allowed. Real data never give way to simulated ones.
    """
    if champion is None:
        return Check(NAME, digest[:12], "any", None, "there is no champion yet")
    allowed = f"{champion.digest[:12] or 'unknown'}, that of version {champion.version}"
    if champion.simulated is False and limits.simulated:
        return Check(NAME, digest[:12], allowed, False, "the champion's data are real, the candidate's are simulated")
    if digest == champion.digest:
        return Check(NAME, digest[:12], allowed, True)
    change = f"version {champion.version} was trained on other data; it is compared on the candidate's fold 10"
    if limits.allow_other_data:
        return Check(NAME, digest[:12], "any", True, f"{change}, as the parameters allow")
    parameter = "simulated-allow-other-data" if limits.simulated else "allow-other-data"
    return Check(NAME, digest[:12], allowed, False, f"{change}; {parameter}=true allows the change")
