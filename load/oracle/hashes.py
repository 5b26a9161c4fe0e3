"""Hashes after their published definitions: Kafka's partitioner, Feast's fields, and ours of an item."""

MASK = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's Java client gives a key.

    >>> partition_of(b"c1", 4), partition_of(b"c2", 4)
    (3, 1)
    """
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * 0x5BD1E995 & MASK
        k = (k ^ k >> 24) * 0x5BD1E995 & MASK
        h = h * 0x5BD1E995 & MASK ^ k
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & MASK
    h = (h ^ h >> 13) * 0x5BD1E995 & MASK
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions


def murmur3(data: bytes) -> int:
    """Return murmur3 x86 32 with seed 0.

    >>> hex(murmur3(b"hello"))
    '0x248bfa47'
    """
    h = 0
    for at in range(0, len(data), 4):
        word = data[at : at + 4]
        k = int.from_bytes(word, "little") * 0xCC9E2D51 & MASK
        k = ((k << 15 | k >> 17) & MASK) * 0x1B873593 & MASK
        h ^= k
        if len(word) == 4:
            h = ((h << 13 | h >> 19) & MASK) * 5 + 0xE6546B64 & MASK
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def fnv_splitmix(text: bytes) -> int:
    """Return the written-down 64-bit hash of an item: FNV-1a, then the SplitMix64 finaliser."""
    mask = 2**64 - 1
    h = 0xCBF29CE484222325
    for byte in text:
        h = ((h ^ byte) * 0x100000001B3) & mask
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & mask
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & mask
    return h ^ (h >> 31)


def item_hash(item: tuple[bytes | int, ...]) -> int:
    """Return the 64-bit hash of an item: one value's, or several joined; a number is 8 bytes, lowest first.

    >>> item_hash((b"c1",)) == fnv_splitmix(b"c1"), item_hash((256,)) == fnv_splitmix(bytes([0, 1]))
    (True, True)
    """
    mask = 2**64 - 1
    texts = [
        part.to_bytes(8, "little", signed=True).rstrip(b"\0") if isinstance(part, int) else part
        for part in item
    ]
    state = fnv_splitmix(texts[0])
    for text in texts[1:]:
        state = (state * 0x100000001B3 + fnv_splitmix(text)) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state
