"""A program that works only when asked, a turn at a time: a line in, a line of JSON out.

So several programs can be compared in turns, and the machine's moods strike all alike."""

import json
import subprocess


class Turns:
    def __init__(self, argv, env=None):
        self.argv = argv
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, env=env)

    def ask(self, *words):
        self.popen.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.popen.stdin.flush()
        answer = self.popen.stdout.readline()
        if not answer:
            raise AssertionError(f"{self.argv[0]} ended with {self.popen.wait(10)}")
        return json.loads(answer)

    def close(self):
        """The end of its input is its end."""
        self.popen.stdin.close()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.argv[0]} did not end") from None
        finally:
            self.popen.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
