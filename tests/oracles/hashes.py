"""The written-down hash of an item, for the oracles."""


def fnv_splitmix(text: bytes) -> int:
    """The 64-bit hash: FNV-1a, then the SplitMix64 finaliser."""
    mask = 2**64 - 1
    h = 0xCBF29CE484222325
    for byte in text:
        h = ((h ^ byte) * 0x100000001B3) & mask
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & mask
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & mask
    return h ^ (h >> 31)
