"""The card-payments project: contracts, features, policy, SQL, a generator; and what `feast apply` reads.

`feast apply`, `feast materialize` and `feast materialize-incremental` work in this folder without any
setting, on the run that `.headrace/current` names; `HEADRACE_RUN` names another.
"""

from runtime.launch import install

install()  # this folder has a `features.py`: our package of that name is found before it
