"""The folder of a new project: it has nothing in it, and its name gives the project one."""

import re
from pathlib import Path

from contracts.contract_field import is_name
from contracts.errors import ConfigError


def new_folder(path: Path) -> Path:
    """Return the folder of a new project, which is made where it is not there.

    Raises:
        ConfigError: E_INIT_FOLDER, there is something in it, or it cannot be made.
    """
    folder = path.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = sorted(each.name for each in folder.iterdir())
    except OSError as error:
        raise ConfigError(
            "E_INIT_FOLDER", f"the folder cannot be made: {error.strerror}", str(folder), "name another one"
        ) from error
    if taken:
        shown = ", ".join(taken[:3]) + (", ..." if len(taken) > 3 else "")
        raise ConfigError(
            "E_INIT_FOLDER", f"the folder is not empty: {shown}", str(folder),
            "name a folder that is not there yet; nothing of yours is written over",
        )  # fmt: skip
    return folder


def project_name(folder: Path) -> str:
    """Return what the project of a folder is called: its name in letters that topics and Feast take.

    >>> project_name(Path("/work/My shop-2")), project_name(Path("/2nd")), project_name(Path("/größe"))
    ('my_shop_2', 'p_2nd', 'gr_e')
    """
    found = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")
    return found if is_name(found) else f"p_{found}".rstrip("_")
