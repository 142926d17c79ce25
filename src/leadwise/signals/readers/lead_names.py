"""Lead names as files spell them: plain, with a prefix, as codes of DICOM and HL7, and in other languages.

Codes: ISO/IEEE 11073-10101 (``MDC_ECG_LEAD_*``, used by HL7 aECG), DICOM PS3.16 CID 3001 (scheme ``MDC`` as ``2:n``,
scheme ``SCPECG`` as ``5.6.3-9-n`` with the lead numbers of EN 1064).
"""

import re
from functools import lru_cache

from leadwise.contract import LEADS
from leadwise.signals.readers.units import unit_of

LEAD_NUMBERS: dict[int, str] = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF",
}  # fmt: skip
"""Lead numbers of EN 1064 (SCP-ECG), which the codes of ISO/IEEE 11073 and DICOM share."""

MDC_ECG_LEADS = 131072
"""The ECG leads are partition 2 of ISO/IEEE 11073-10101: code ``2:n`` as one number is this plus n."""

_ALIASES = {name.casefold(): name for name in LEADS}
# Spanish, Portuguese and French (derivacion, derivation) limb leads; chest leads of IEC 60601-2-25.
_ALIASES |= {"d1": "I", "d2": "II", "d3": "III", "di": "I", "dii": "II", "diii": "III"}
_ALIASES |= {"l1": "I", "l2": "II", "l3": "III", "li": "I", "lii": "II", "liii": "III"}
_ALIASES |= {f"c{number}": f"V{number}" for number in range(1, 7)}

_CODES = {f"2:{number}": name for number, name in LEAD_NUMBERS.items()}
_CODES |= {f"5.6.3-9-{number}": name for number, name in LEAD_NUMBERS.items()}
_CODES |= {str(MDC_ECG_LEADS + number): name for number, name in LEAD_NUMBERS.items()}

_PREFIX = re.compile(r"^(?:mdc[ _]?ecg[ _]?lead|ecg|ekg|leads?|derivation|derivacion|ableitung|signal)(?:[ _:.]+|-)")
_GLUED_PREFIX = re.compile(r"^(?:ecg|ekg|lead)(?=(?:i{1,3}|av[rlf]|v[1-6])$)")
_SUFFIX = re.compile(r"[ _-]+(?:ref|raw|filtered|lead|signal|ecg|ekg)$")
_BRACKETS = re.compile(r" ?(?:\(([^()]*)\)|\[([^\[\]]*)\])")
_HARMLESS = frozenset(
    {"einthoven", "goldberger", "wilson", "raw", "filtered", "ref", "lead", "signal", "ecg", "ekg", "12-lead", "limb",
     "chest", "limb lead", "chest lead", "augmented", "precordial", "adc", "adu", "counts", "lsb", "a.u.", "au", "nu"}
)  # fmt: skip
"""What may stand in brackets beside a unit; anything else makes another lead of it, such as ``V3 (R)``."""
_MULTIPLE = re.compile(r"[\d.]+(?:e-?\d+)? ?|/\w+$")
"""What makes another unit of a unit: ``100 uV``, ``1e-4 V``, ``uV/bit``."""

_INVERSION = r"(?:inv|inverted|inverse|neg|negative|negated|minus|reversed|flipped|upside down)"
_INVERTED = re.compile(rf"{_INVERSION}[ _.-]+(.+)|(.+?)[ _.-]+{_INVERSION}|-(avr)")
"""In words any lead; with a mere minus only aVR, which Cabrera's order shows upside down: others are ``ECG-I``."""
_BRACKETED_INVERSION = re.compile(rf"{_INVERSION}|-1?|[x*] ?-1")


# The same few names come again with every file.
@lru_cache(maxsize=256)
def standard_lead(name: str) -> tuple[str, float] | None:
    """The standard lead that a name or code of a file means.

    Args:
        name: such as ``AVR``, ``Lead I``, ``ECG V1``, ``MDC_ECG_LEAD_I``, ``5.6.3-9-61``, ``-aVR``,
            ``V1 (inverted)``.

    Returns:
        The name as ``LEADS`` spells it, and 1, or -1 where the file holds the lead upside down; ``None`` for no
        standard lead.
    """
    folded = name.strip().strip("'\"").strip().casefold()
    if len(folded) > 80:
        return None
    if folded in _CODES:
        return _CODES[folded], 1.0
    signs = []
    for content in (one or other for one, other in _BRACKETS.findall(folded)):
        if _BRACKETED_INVERSION.fullmatch(content.strip()):
            signs.append(-1.0)
        elif content.strip() not in _HARMLESS and unit_of(_MULTIPLE.sub("", content)) is None:
            return None
    folded = _without(_PREFIX, _without(_SUFFIX, _BRACKETS.sub("", folded)))
    folded = _GLUED_PREFIX.sub("", folded)
    if inverted := _INVERTED.fullmatch(folded):
        folded = _without(_PREFIX, next(filter(None, inverted.groups())))
        signs.append(-1.0)
    lead = _ALIASES.get(folded) or _ALIASES.get(re.sub(r"[ ._]", "", folded))
    # Upside down said twice may mean either.
    return None if lead is None or len(signs) > 1 else (lead, -1.0 if signs else 1.0)


def _without(pattern: re.Pattern[str], text: str) -> str:
    """The text without any number of what a pattern finds at one of its ends; never empty."""
    while (shorter := pattern.sub("", text)) != text and shorter:
        text = shorter
    return text
