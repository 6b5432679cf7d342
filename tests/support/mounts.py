"""Whether these tests may mount file systems: that takes root, and in a container a capability."""

import shutil
import subprocess

MOUNT = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
MAY_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(MOUNT, capture_output=True, check=False).returncode == 0
)
WHY_NOT = f"may not mount a file system ({' '.join(MOUNT)}): it takes root and CAP_SYS_ADMIN"
