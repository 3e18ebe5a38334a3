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

    def test_tools_from_registries_have_one_version(self) -> None:
        tools = re.findall(r"(?:cargo install --locked|--package) (\S+)", "\n".join(TEXTS.values()))
        self.assertEqual(len(tools), 3, tools)
        for tool in tools:
            self.assertRegex(tool, r"^[\w-]+@\d+\.\d+\.\d+$")

    def test_nothing_is_built_where_packages_are_published(self) -> None:
        for job, body in jobs(TEXTS["publish.yml"]).items():
            if job != "verify":
                self.assertNotRegex(body, r"cargo (?!publish --locked --no-verify\n)", job)
        verify = jobs(TEXTS["publish.yml"])["verify"]
        self.assertIn("cargo publish --locked --dry-run", verify)
        self.assertNotIn(": write", verify)

    def test_only_actions_run_where_packages_are_attested(self) -> None:
        attesting = [body for body in jobs(TEXTS["release.yml"]).values() if "id-token: write" in body]
        self.assertEqual(len(attesting), 1)
        self.assertNotIn("run: ", attesting[0])

    def test_one_password_is_stored(self) -> None:
        secrets = {secret for text in TEXTS.values() for secret in re.findall(r"secrets\.(\w+)", text)}
        self.assertEqual(secrets, {"TAP_TOKEN"})

    def test_what_is_published_was_attested(self) -> None:
        attested = TEXTS["release.yml"].split("subject-path: |\n")[1].split("\n\n")[0].split()
        attested = {path.removeprefix("target/packages/") for path in attested}
        loop = re.search(r"for file in (.*); do\n((?:.*\n)*?) *done", TEXTS["publish.yml"])
        verified = loop[1].split()
        self.assertRegex(loop[2], r'gh attestation verify "\$file" .*--source-ref "\$GITHUB_REF"')
        self.assertEqual(attested, {"sigv4-proxy*", "npm/*", "pypi/*", "SHA256SUMS"})
        self.assertEqual(verified, ["SHA256SUMS", "sigv4-proxy.mcpb", "sigv4-proxy-image.tar", "npm/*", "pypi/*"])


if __name__ == "__main__":
    unittest.main()
