"""The chain: the entities in the order in which an accepted record visits their stages.

Everything between the gate and the scorer is named from it: topics, columns, lanes, groups. A stage at place
`i` reads `input`, keeps its entity's windows, and hands its rows to the next stage's input, or to
`features.log` behind the last one.

    sources -> gate -> [first stage] -> ... -> [last stage] -> features.log

Records of every source enter at the first stage and visit all.
"""

from typing import NamedTuple

from contracts.errors import ConfigError

LOG = "features.log"
LINKS_MAX = 8  # the bits of `late`


class Link(NamedTuple):
    """One entity's place in the chain: its name, and the fields that make its key.

    >>> link = Link("shop", ("shop_id",), 1)
    >>> link.key, link.input, link.changelog, link.values, link.late_bit
    ('shop_id', 'events.shop', 'changelog.shop', 'shop_values', 2)
    """

    name: str
    fields: tuple[str, ...]
    place: int

    @property
    def key(self) -> str:
        """What the online store calls the key; the column of it, where it is one field."""
        return "_".join(self.fields)

    @property
    def input(self) -> str:
        """The topic that the stage reads, without a run's prefix."""
        return f"events.{self.name}"

    @property
    def changelog(self) -> str:
        """The topic that keeps the stage's state, without a run's prefix."""
        return f"changelog.{self.name}"

    @property
    def worker(self) -> str:
        """The kind of worker that runs the stage."""
        return f"stream-{self.name}"

    @property
    def values(self) -> str:
        """The column of the entity's features, (rows, features)."""
        return f"{self.name}_values"

    @property
    def definitions(self) -> str:
        """The column that says under which definitions the features were made."""
        return f"{self.name}_definitions"

    @property
    def partition(self) -> str:
        """The column of the stage's input partition."""
        return f"{self.name}_partition"

    @property
    def position(self) -> str:
        """The column of a row's position in the stage's input."""
        return f"{self.name}_pos"

    @property
    def late_bit(self) -> int:
        """What the column `late` holds of a row that was late for this entity."""
        return 1 << self.place


class Chain:
    """Links, first to last; at least one, no name and no key twice.

    >>> chain = Chain(("user", "user_id"), ("shop", "shop_id"))
    >>> chain.first.name, chain.last.name, chain.after(chain.first).name, chain.after(chain.last)
    ('user', 'shop', 'shop', None)
    >>> [link.name for link in chain.before(chain.last)], chain.before(chain.first)
    (['user'], ())
    >>> chain.output(chain.first), chain.output(chain.last), chain.named("shop").place
    ('events.shop', 'features.log', 1)

    Raises:
        ConfigError: E_CHAIN, it has no entity or more than eight, or a name or key stands twice.
    """

    def __init__(self, *links: tuple[str, str | tuple[str, ...]]) -> None:
        named = [(name, (key,) if isinstance(key, str) else key) for name, key in links]
        names, keys = {name for name, _ in named}, {fields for _, fields in named}
        if not 0 < len(links) <= LINKS_MAX or len(names) < len(links) or len(keys) < len(links):
            raise ConfigError(
                "E_CHAIN", "a chain has one to eight entities, each once and with a key of its own",
                ", ".join(f"{name} by {'_'.join(fields)}" for name, fields in named) or "an empty chain",
                "name each entity once",
            )  # fmt: skip
        self.links = tuple(Link(name, fields, place) for place, (name, fields) in enumerate(named))

    @property
    def first(self) -> Link:
        """Where records enter."""
        return self.links[0]

    @property
    def last(self) -> Link:
        """From where rows go to the log."""
        return self.links[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The entities' names, in order."""
        return tuple(link.name for link in self.links)

    def named(self, name: str) -> Link:
        """Return an entity's link.

        Raises:
            ConfigError: E_CHAIN, no entity has this name.
        """
        for link in self.links:
            if link.name == name:
                return link
        known = ", ".join(self.names)
        raise ConfigError("E_CHAIN", f"no entity of the chain is called {name!r}", known, "name one of these")

    def before(self, link: Link) -> tuple[Link, ...]:
        """Return the links that a record has visited when it comes to a link; none before the first."""
        return self.links[: link.place]

    def after(self, link: Link) -> Link | None:
        """Return the link that takes a link's rows; None behind the last."""
        return self.links[link.place + 1] if link is not self.last else None

    def output(self, link: Link) -> str:
        """Return the topic of a link's rows, without a run's prefix."""
        following = self.after(link)
        return following.input if following else LOG
