"""Certificates for a server of the tests, made by openssl."""

import os
import shutil
import subprocess
import unittest


def openssl(*arguments, directory):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)


class Authority:
    """An authority of its own, in @directory: its certificate is root.crt."""

    def __init__(self, directory):
        if not shutil.which("openssl"):
            raise unittest.SkipTest("no openssl is installed: run tools/setup")
        os.makedirs(directory, exist_ok=True)
        self.dir = directory
        self.root = os.path.join(directory, "root.crt")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                "/CN=weir test authority", "-keyout", "root.key", "-out", "root.crt",
                directory=directory)

    def certify(self, host, address, owner=None):
        """Returns the paths of a server's certificate and key; @owner: (uid, gid) of the key."""
        extension = os.path.join(self.dir, "server.ext")
        with open(extension, "w", encoding="utf-8") as file:
            file.write(f"subjectAltName=DNS:{host},IP:{address}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout",
                "server.key", "-out", "server.csr", directory=self.dir)
        openssl("x509", "-req", "-in", "server.csr", "-CA", "root.crt", "-CAkey", "root.key",
                "-CAcreateserial", "-days", "2", "-extfile", "server.ext", "-out", "server.crt",
                directory=self.dir)
        certificate, key = (os.path.join(self.dir, f"server.{end}") for end in ("crt", "key"))
        os.chmod(key, 0o600)
        if owner:
            os.chown(key, *owner)
        return certificate, key
