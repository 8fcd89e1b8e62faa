"""Paths of credentials and private data, which programs in the sandbox must not read."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress

SECRETS = (  # below the user's home folder
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", ".netrc"),
    *(".git-credentials", ".pypirc", ".npmrc", ".config/gh", ".config/gcloud", ".config/rclone"),
    *(".config/op", ".config/huggingface", ".cache/huggingface/token", ".huggingface"),
    *(".local/share/keyrings", ".mozilla", ".thunderbird", ".config/google-chrome"),
    *(".config/chromium", ".config/git/credentials", ".bash_history", ".zsh_history"),
    *(".local/state/nondiff", ".vault-token", ".config/sops", ".config/pip", ".terraform.d"),
    *(".python_history", ".pgpass", ".my.cnf", ".config/containers", ".cargo/credentials.toml"),
)
SYSTEM_SECRETS = (
    *("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/sudoers.d"),
    *("/etc/ssh", "/etc/ssl/private", "/run/user", "/run/secrets", "/run/credentials"),
)
BY_VARIABLE = {  # names below the folder that a variable names; "": the path itself
    "XDG_RUNTIME_DIR": ("",),
    "XDG_STATE_HOME": ("nondiff",),
    "XDG_CONFIG_HOME": ("gh", "gcloud", "rclone", "op", "git/credentials", "containers"),
    "XDG_DATA_HOME": ("keyrings",),
    "CARGO_HOME": ("credentials.toml",),
    "HF_HOME": ("token",),
    "GNUPGHOME": ("",),
    "KUBECONFIG": ("",),
    "AWS_SHARED_CREDENTIALS_FILE": ("",),
    "GOOGLE_APPLICATION_CREDENTIALS": ("",),
}


def secret_paths() -> list[str]:
    """The absolute paths that may hold secrets."""
    homes = {os.environ.get("HOME", "")}
    with suppress(KeyError):
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
    found = [*SYSTEM_SECRETS, *(f"{home}/{name}" for home in sorted(homes) for name in SECRETS)]
    for variable, names in BY_VARIABLE.items():
        if place := os.environ.get(variable):
            found += [f"{place}/{name}".rstrip("/") for name in names]
    return [path for path in found if path.startswith("/") and os.path.normpath(path) != "/"]
