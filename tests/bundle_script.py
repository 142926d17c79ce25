"""scripts/bundle.py as a module: ``script``."""

import importlib.util

from leadwise.config import PROJECT_ROOT

_spec = importlib.util.spec_from_file_location("leadwise_bundle", PROJECT_ROOT / "scripts" / "bundle.py")
assert _spec is not None and _spec.loader is not None
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)
