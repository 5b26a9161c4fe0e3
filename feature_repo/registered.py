"""What Feast's commands find here: every object, each once, for the run they are given.

Feast looks at the attributes of a module; they are made from the declarations in `features/`, so that no
feature is named twice. Importing this needs a run.
"""

from feature_repo.repository import declared
from feature_repo.run_home import RunHome

globals().update({item.name: item for item in declared(RunHome.find())})
