"""A small git repository."""

import subprocess


class Repository:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, **files):
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_toml", ".toml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change", "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def move(self, old, new):
        """Rename a file in a commit."""
        self.git("mv", old, new)
        return self.commit()

    def merge(self, branch):
        options = ("-q", "--no-ff", "--allow-unrelated-histories", "-m", "merge")
        self.git("merge", *options, branch)
        return self.git("rev-parse", "HEAD")
