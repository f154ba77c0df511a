"""Importing the package of models loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_package_loads_no_torch():
    code = (
        "import sys, lakeviz.models as m; "
        "heavy = {'torch', 'open_clip', 'timm', 'transformer_lens', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy; assert 'load_model' in m.__all__"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
