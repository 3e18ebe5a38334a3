"""What docs/security.md says of the workflows that build and publish a release. `make test-packer` runs it."""

import re
import unittest
from pathlib import Path

WORKFLOWS = Path(__file__).resolve().parents[2] / ".github/workflows"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(WORKFLOWS.glob("*.yml"))}
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def jobs(text: str) -> dict[str, str]:
    parts = re.split(r"^  ([\w-]+):\n", text.split("\njobs:\n")[1], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


class WorkflowTest(unittest.TestCase):
    def test_actions_are_pinned_by_commit(self) -> None:
        self.assertEqual(list(TEXTS), ["check.yml", "publish.yml", "release.yml"])
        for name, text in TEXTS.items():
            actions = re.findall(r"\buses: (.*)", text)
            self.assertTrue(actions, name)
            for action in actions:
                self.assertRegex(action, PINNED, name)

    def test_jobs_have_no_permission_that_they_do_not_name(self) -> None:
        for name, text in TEXTS.items():
            self.assertIn("\npermissions: {}\n", text, name)
            for job, body in jobs(text).items():
                self.assertRegex(body, r"(?m)^    permissions:", f"{name}: {job}")
                self.assertRegex(body, r"(?m)^    timeout-minutes: \d+$", f"{name}: {job}")
            kept = text.count("actions/checkout@") - text.count("persist-credentials: false")
            self.assertEqual(kept, 0, f"{name}: a checkout keeps its credentials")

    def test_one_password_is_stored(self) -> None:
        secrets = {secret for text in TEXTS.values() for secret in re.findall(r"secrets\.(\w+)", text)}
        self.assertEqual(secrets, {"TAP_TOKEN"})

    def test_what_is_published_was_attested(self) -> None:
        attested = TEXTS["release.yml"].split("subject-path: |\n")[1].split("      - uses:")[0].split()
        attested = {path.removeprefix("target/packages/") for path in attested}
        verified = re.search(r"for file in (.*); do\n *gh attestation verify", TEXTS["publish.yml"])[1].split()
        self.assertEqual(attested, {"sigv4-proxy*", "npm/*", "pypi/*", "SHA256SUMS"})
        self.assertEqual(verified, ["SHA256SUMS", "sigv4-proxy.mcpb", "sigv4-proxy-image.tar", "npm/*", "pypi/*"])


if __name__ == "__main__":
    unittest.main()
