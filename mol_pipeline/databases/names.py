"""Names of the databases on the command line; imports nothing, so that `--help` is quick."""

DATABASES: dict[str, str] = {
    "samm": "SAMM",
    "casme2": "CASME II",
    "smic-hs": "SMIC (high-speed camera)",
    "smic-vis": "SMIC (visual camera)",
    "smic-nir": "SMIC (near-infrared camera)",
    "affwild2": "Aff-Wild2 (EXPR track)",
    "casme": "CASME",
    "casme-sq": "CAS(ME)^2",
    "casme3": "CAS(ME)^3 (part A)",
    "casme3-c": "CAS(ME)^3 part C (mock crime)",
    "dfme": "DFME",
    "megc-unseen": "MEGC unseen sets (without truth)",
    "mmew": "MMEW (micro-expressions)",
    "4dme": "4DME (micro-expressions)",
    "smic-e-hs": "SMIC-E (high-speed camera)",
    "smic-e-vis": "SMIC-E (visual camera)",
    "smic-e-nir": "SMIC-E (near-infrared camera)",
    "samm-lv": "SAMM Long Videos",
    "custom": "own videos (listed in a CSV file)",
}
"""Name on the command line -> title."""

ALIASES: dict[str, str] = {
    "smic": "smic-hs",
    "smic-e": "smic-e-hs",
    "casme1": "casme",
    "casmei": "casme",
    "casme-ii": "casme2",
    "casmeii": "casme2",
    "casme_ii": "casme2",
    "cas(me)^2": "casme-sq",
    "cas(me)2": "casme-sq",
    "casme^2": "casme-sq",
    "casme_sq": "casme-sq",
    "casmesq": "casme-sq",
    "casme-squared": "casme-sq",
    "cas(me)^3": "casme3",
    "cas(me)3": "casme3",
    "casme^3": "casme3",
    "casme3a": "casme3",
    "casme3-a": "casme3",
    "casme-iii": "casme3",
    "casmeiii": "casme3",
    "casme3_c": "casme3-c",
    "casme3c": "casme3-c",
    "megc": "megc-unseen",
    "unseen": "megc-unseen",
    "sammlv": "samm-lv",
    "samm_lv": "samm-lv",
    "samm-long-videos": "samm-lv",
    "aff-wild2": "affwild2",
    "affwild-2": "affwild2",
    "smic_hs": "smic-hs",
    "smic_vis": "smic-vis",
    "smic_nir": "smic-nir",
    "smic-e_hs": "smic-e-hs",
    "four-dme": "4dme",
}
"""Other spellings in use."""


def canonical_name(name: str) -> str | None:
    """Name of a database from any of its spellings, None if it is none."""
    lower = name.strip().lower()
    lower = ALIASES.get(lower, lower)
    return lower if lower in DATABASES else None
