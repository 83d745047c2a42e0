"""What cannot be: one line on standard error, the right exit code, and not a packet sent."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scanner.cli import main
from scanner.lab import Lab

pytestmark = pytest.mark.lab

HERE = "10.50.0.1"
BAD_INPUT, OUT_OF_SCOPE = 2, 3


@pytest.fixture
def refused(prober, capfd):
    """`refused(code, complaint, words)`: the command complains so, and does nothing else.

    Run in this process, or as one of its own where there are options for that.
    """

    def run(words: list[str], options: dict[str, object]) -> tuple[int, str, str]:
        if options:
            ran = prober.ghostport(*words, **options)
            return ran.code, ran.out, ran.err
        with prober.lab.enter():
            code = main(words)
        return (code, *capfd.readouterr())

    def check(code: int, complaint: str, *words: object, **options: object) -> None:
        before = prober.sent()
        ended, out, err = run([str(word) for word in words], options)
        assert prober.sent() == before
        assert ended == code
        assert err.startswith("ghostport: ")
        assert err.count("\n") == 1
        assert complaint in err
        assert "ADDRESS" not in out

    return check


@pytest.fixture(scope="module")
def lab(lab):
    """A lab of its own, in which nobody has ever sent anything: what is counted is ours."""
    with Lab("small", f"{lab.name}-quiet") as quiet:
        yield quiet


BAD_WORDS = [
    (BAD_INPUT, "no targets", []),
    (BAD_INPUT, "host names are not looked up", ["ups.example"]),
    (BAD_INPUT, "octets go up to 255", ["10.0.0.300"]),
    (BAD_INPUT, "prefix length", ["10.0.0.0/33"]),
    (BAD_INPUT, "ends before it starts", ["10.0.0.9-10.0.0.1"]),
    (BAD_INPUT, "'fd00:::1' is not an IPv6 address", ["fd00:::1"]),
    (BAD_INPUT, "prefix length must be a number from 0 to 128", ["fd00::/129"]),
    (BAD_INPUT, "fe80::1 is link-local: say on which link", ["fe80::1"]),
    (BAD_INPUT, "there is no interface 'nowhere'", ["fe80::1%nowhere"]),
    (BAD_INPUT, "only link-local addresses", ["fd00::1%lo"]),
    (BAD_INPUT, "18446744073709551616 IPv6 addresses are more than can be asked", ["fd00::/64"]),
    (BAD_INPUT, "leading zeros", ["010.0.0.1"]),
    (BAD_INPUT, "port 70000 does not exist", [HERE, "-p", "70000"]),
    (BAD_INPUT, "'abc' is not a port", [HERE, "-p", "abc"]),
    (BAD_INPUT, "--rate 0:", [HERE, "--rate", "0"]),
    (BAD_INPUT, "--rate 'fast': a number is wanted, or auto or max", [HERE, "--rate", "fast"]),
    (BAD_INPUT, "--retries '-1'", [HERE, "--retries", "-1"]),
    (BAD_INPUT, "--retries 101", [HERE, "--retries", "101"]),
    (BAD_INPUT, "--wait 'x'", [HERE, "--wait", "x"]),
    (BAD_INPUT, "--wait 0", [HERE, "--wait", "0"]),
    (BAD_INPUT, "--seed '-1'", [HERE, "--seed", "-1"]),
    (BAD_INPUT, "exclude", [HERE, "--exclude", HERE]),
    (BAD_INPUT, "'nowhere'", [HERE, "--interface", "nowhere"]),
    (BAD_INPUT, "10.9.9.9 is not an address of this machine", [HERE, "--source-ip", "10.9.9.9"]),
    (BAD_INPUT, "no route to 10.77.0.1: see `ip route get 10.77.0.1`", ["10.77.0.1"]),
    (BAD_INPUT, "or any other of the 8 targets", ["10.77.0.0/29"]),
    (BAD_INPUT, "oif gpv0", ["127.0.0.1", "--interface", "gpv0"]),
    (BAD_INPUT, "network and broadcast addresses", ["10.49.0.255"]),
    (BAD_INPUT, "/nowhere/list: cannot be read", ["--targets-file", "/nowhere/list"]),
    (BAD_INPUT, "/proc: cannot be read", ["--targets-file", "/proc"]),
    (BAD_INPUT, "/: cannot be written: Is a directory", [HERE, "-o", "/"]),
    (BAD_INPUT, "/nowhere/out: cannot be written", [HERE, "-o", "/nowhere/out"]),
    (BAD_INPUT, "/nowhere/x.pcap: the evidence cannot be written", [HERE, "--evidence", "/nowhere/x.pcap"]),
    (BAD_INPUT, "No space left on device", [HERE, "--evidence", "/dev/full"]),
    (BAD_INPUT, "unrecognized arguments: --fast", [HERE, "--fast"]),
    (BAD_INPUT, "not allowed with argument", [HERE, "-q", "-v"]),
    (OUT_OF_SCOPE, "8.8.8.8 (1 address in all): not private", ["8.8.8.8"]),
    (OUT_OF_SCOPE, "9.0.0.0/8", ["10.50.0.1", "9.0.0.0/8"]),
    (OUT_OF_SCOPE, "multicast", ["224.0.0.1"]),
    (OUT_OF_SCOPE, "reserved or broadcast", ["255.255.255.255"]),
]


@pytest.mark.parametrize(("code", "complaint", "words"), BAD_WORDS)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_sent(refused, code, complaint, words):
    refused(code, complaint, "sweep", *words)


WHOLE: dict[str, object] = {"input": ""}
"""As a process of its own, with nothing to read."""


def test_a_whole_process_is_refused_in_the_same_way(refused):
    refused(BAD_INPUT, "COMMAND", **WHOLE)
    refused(BAD_INPUT, "invalid choice: 'swipe'", "swipe", HERE, **WHOLE)
    refused(BAD_INPUT, "no targets", "sweep", "--targets-file", "-", **WHOLE)
    refused(BAD_INPUT, "standard input:1: 'ups'", "sweep", "--targets-file", "-", input="ups\n")
    refused(OUT_OF_SCOPE, "8.8.8.8", "sweep", "8.8.8.8", **WHOLE)
    refused(BAD_INPUT, "/nowhere/x", "sweep", HERE, "--evidence", "/nowhere/x", **WHOLE)


def test_files_that_may_not_be_written(refused, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "file").write_text("kept")
    # Root writes everywhere but on what is mounted read-only.
    read_only = f'mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec "$@"'
    wrap = ["unshare", "--mount", "sh", "-c", read_only, "sh"]

    for name in ("file", "new"):
        path = folder / name
        refused(BAD_INPUT, f"{path}: cannot be written: Read-only", "sweep", HERE, "-o", path, wrap=wrap)
        refused(BAD_INPUT, f"{path}: the evidence", "sweep", HERE, "--evidence", path, wrap=wrap)
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "kept"


def test_an_output_file_is_left_as_it_was_where_the_sweep_is_refused(refused, tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("from last time\n")

    refused(BAD_INPUT, "the evidence", "sweep", HERE, "-o", output, "--evidence", "/nowhere/x")
    refused(OUT_OF_SCOPE, "8.8.8.8", "sweep", "8.8.8.8", "-o", output)

    assert output.read_text() == "from last time\n"
    assert list(tmp_path.iterdir()) == [output]


def nobody(*capabilities: str) -> list[str]:
    """Run as nobody, with these capabilities alone."""
    kept = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    ids = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    return ["setpriv", *ids, f"--inh-caps={kept}", f"--ambient-caps={kept}", f"--bounding-set={kept}"]


@pytest.fixture
def readable():
    """Skips where nobody could not run our interpreter, whatever its capabilities."""
    probe = [*nobody(), sys.executable, "-c", "import scanner.sweeping"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("this checkout is not readable by others than root")


@pytest.mark.usefixtures("readable")
@pytest.mark.parametrize("target", [HERE, "10.49.0.10", "127.0.0.1"])
def test_without_privilege_it_says_what_is_needed(refused, target):
    refused(BAD_INPUT, "raw packets need CAP_NET_RAW", "sweep", target, wrap=nobody())


@pytest.mark.usefixtures("readable")
def test_cap_net_raw_alone_is_enough(lab, prober, tmp_path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)

    evidence = prober.sweep_and_read(
        "10.50.0.0/24", "10.49.0.8/29", "127.0.0.0/29", wrap=nobody("net_raw"), cwd="/"
    )

    assert len(evidence.records) == 2 * (256 + 8 + 7)
    assert evidence.again == evidence.swept
    assert evidence.capture.stat().st_uid == 65534
