"""A real SpacetimeDB server with the behaviour module on it, for tests that want the last word.

Both are built once, from package registries alone, into a cache folder: the server by its release, the module by what
its source says. Every run then has a server of its own: port, keys and data are fresh, and gone when it ends.

    python tests/live/server.py --is-warm             exit with 0 if nothing is left to build, else with 1
    python tests/live/server.py --build               build what is missing
    python tests/live/server.py -- COMMAND ARGS...    run COMMAND with SPACETIMEDB_URI and SPACETIMEDB_DATABASE set

SPACETIMEDB_LIVE_CACHE names another cache folder.
"""

import fcntl
import hashlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

# From 1.3.0 on the server's build fetches a prebuilt V8, which no package registry carries.
SERVER_RELEASE = "1.2.0"
SERVER_PROGRAM = "spacetimedb-standalone"
# It brings C, C++ and OpenSSL's own sources, which need more than Rust.
SERVER_TOOLS = {"cargo": "Rust's stable toolchain", "cc": "gcc", "c++": "g++", "make": "make", "perl": "perl"}
DATABASE = "behaviour"
MODULE_SOURCE = Path(__file__).resolve().parent / "module"
MODULE_TARGET = "wasm32-unknown-unknown"
MODULE_PACKAGES = ("rustc-web", "rust-web-src", "cargo-web", "lld")

START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
# Publishing compiles the module's wasm to machine code, in a server that was itself built with few optimisations.
REQUEST_SECONDS = 120.0

# Without a terminal of its own a child writes here, so that the standard output stays COMMAND's alone. The number, not
# sys.stderr, which a test runner may have replaced by an object without a descriptor.
STDERR = 2


class LiveError(Exception):
    """No server could be had; the text says what is missing or what failed."""


@dataclass(frozen=True)
class Built:
    """What the cache holds once everything is built."""

    server: Path
    module: Path


@dataclass(frozen=True)
class Live:
    """A running server with the module published on it."""

    uri: str
    database: str
    token: str
    """Belongs to the identity that owns the database: it may read private tables too."""


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    host: str
    port: int


@dataclass(frozen=True)
class Rust:
    """A compiler and the cargo that belongs to it."""

    cargo: str
    rustc: str


def is_warm() -> bool:
    """Tell whether server and module are built, so that `running()` starts within seconds."""
    wanted = _wanted()
    return wanted.server.exists() and wanted.module.exists()


def build() -> Built:
    """Build what the cache lacks. The server takes minutes; whoever comes meanwhile waits for it."""
    wanted = _wanted()
    if is_warm():
        return wanted
    with _only_builder(wanted.module.parent):
        # The module first: what it needs may be missing, and that should show before the long build.
        if not wanted.module.exists():
            _build_module(wanted.module)
        if not wanted.server.exists():
            _build_server(wanted.server)
    return wanted


@contextmanager
def running() -> Iterator[Live]:
    """Run a fresh server with the module on it until the block ends; its data goes with it."""
    built = build()
    with tempfile.TemporaryDirectory(prefix="spacetimedb-live-") as folder, _serving(built, Path(folder)) as address:
        token = _create_identity(address)
        _ask(address, "PUT", f"/v1/database/{DATABASE}", token=token, body=built.module.read_bytes())
        yield Live(uri=f"http://{address.host}:{address.port}", database=DATABASE, token=token)


# ---------------------------------------------------------------------------------------------------------- the cache


def _cache_folder() -> Path:
    chosen = os.environ.get("SPACETIMEDB_LIVE_CACHE")
    if chosen:
        return Path(chosen).resolve()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "spacetimedb-sdk-live"


def _wanted() -> Built:
    """Name the files that belong to this release and this module source, built or not."""
    cache = _cache_folder()
    return Built(
        server=cache / f"server-{SERVER_RELEASE}" / "bin" / SERVER_PROGRAM,
        module=cache / f"module-{_module_key()}.wasm",
    )


def _module_key() -> str:
    """Digest everything that decides what the module becomes, so that a change of it is a new file in the cache."""
    digest = hashlib.sha256()
    sources = sorted((MODULE_SOURCE / "src").rglob("*.rs"))
    for path in (MODULE_SOURCE / "Cargo.toml", MODULE_SOURCE / "Cargo.lock", *sources):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(MODULE_SOURCE).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@contextmanager
def _only_builder(cache: Path) -> Iterator[None]:
    """Keep builders apart; the lock goes with its holder, so a killed build leaves none behind."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ------------------------------------------------------------------------------------------------------------ building


def _build_server(server: Path) -> None:
    """Install the server's crate. Half the optimisation, a fraction of the time: tests ask it little."""
    for tool, package in SERVER_TOOLS.items():
        _require(tool, f"{package}, to build the server")
    root = server.parent.parent
    # A folder with a name, and not one that cargo makes up, lets an interrupted build go on where it was.
    target = root.with_name(f"{root.name}.target")
    _run(
        ["cargo", "install", f"{SERVER_PROGRAM}@{SERVER_RELEASE}", "--locked", "--root", str(root)],
        CARGO_TARGET_DIR=str(target),
        CARGO_PROFILE_RELEASE_LTO="off",
        CARGO_PROFILE_RELEASE_OPT_LEVEL="1",
    )
    shutil.rmtree(target)


def _build_module(module: Path) -> None:
    """Build the module and, as no package carries one, the standard library for its target."""
    rust = _module_rust()
    target = module.with_name("module.target")
    _run(
        [rust.cargo, "build", "--locked", "--release", "--target", MODULE_TARGET, "-Zbuild-std=std,panic_abort"],
        folder=MODULE_SOURCE,
        RUSTC=rust.rustc,
        RUSTC_BOOTSTRAP="1",
        CARGO_TARGET_DIR=str(target),
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="wasm-ld",
    )
    # Moved into place in one step: what stands under the name is always whole.
    unfinished = module.with_suffix(".unfinished")
    shutil.copyfile(target / MODULE_TARGET / "release" / "behaviour_module.wasm", unfinished)
    unfinished.replace(module)


def _module_rust() -> Rust:
    """Find what can build the module, or as root fetch it."""
    rust = _find_module_rust()
    if rust is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install_debian_packages(MODULE_PACKAGES)
        rust = _find_module_rust()
    if rust is None:
        raise LiveError(
            "The module needs wasm-ld, and a Rust that has the source of its standard library. "
            f"On Debian: apt-get install {' '.join(MODULE_PACKAGES)}"
        )
    return rust


def _find_module_rust() -> Rust | None:
    """Look through the whole PATH: rustup's Rust often stands first there, and seldom has that source."""
    if shutil.which("wasm-ld") is None:
        return None
    for folder in os.get_exec_path():
        cargo, rustc = shutil.which("cargo", path=folder), shutil.which("rustc", path=folder)
        if cargo and rustc and _has_library_source(rustc):
            return Rust(cargo, rustc)
    return None


def _has_library_source(rustc: str) -> bool:
    answer = subprocess.run([rustc, "--print", "sysroot"], capture_output=True, text=True, check=False)
    # The library has a lock file of its own since the releases that can be used here; older sources are of no help.
    lock = Path(answer.stdout.strip(), "lib", "rustlib", "src", "rust", "library", "Cargo.lock")
    return answer.returncode == 0 and lock.exists()


def _install_debian_packages(packages: Sequence[str]) -> None:
    """Try; the caller looks whether it helped, and names the packages if not."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for command in (["apt-get", "update"], install):
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=STDERR, env=environment, check=False)


def _require(tool: str, what: str) -> None:
    if shutil.which(tool) is None:
        raise LiveError(f"{tool} is not on the PATH. Needed: {what}.")


def _run(command: Sequence[str], folder: Path | None = None, **environment: str) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=STDERR,
        check=False,
    )
    if result.returncode:
        raise LiveError(f"{shlex.join(command)} failed with exit code {result.returncode}; what it said stands above.")


# ------------------------------------------------------------------------------------------------------------- running


@contextmanager
def _serving(built: Built, folder: Path) -> Iterator[Address]:
    """Have the server up inside the block, with all it writes under `folder`."""
    private, public = _make_keys(folder)
    # Port 0 lets the system choose: a port looked for beforehand could be somebody else's by the time it is used.
    command = [str(built.server), "start", "--listen-addr", "127.0.0.1:0", "--data-dir", str(folder / "data")]
    command += ["--jwt-priv-key-path", str(private), "--jwt-pub-key-path", str(public)]
    log = folder / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
    try:
        yield _wait_until_up(process, log)
    finally:
        _stop(process)


def _make_keys(folder: Path) -> tuple[Path, Path]:
    """Make the pair that signs the server's tokens, private key first."""
    _require("openssl", "openssl, to make the server's keys")
    curve, private, public = (folder / name for name in ("curve.pem", "private.pem", "public.pem"))
    for command in (
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(curve)],
        ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", str(curve), "-out", str(private)],
        ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)],
    ):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise LiveError(f"{shlex.join(command)} failed: {result.stderr.strip()}")
    return private, public


def _wait_until_up(process: subprocess.Popen[bytes], log: Path) -> Address:
    """Wait for the server to say where it listens, then for it to answer there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LiveError(f"The server ended with code {process.returncode} before it was up:\n{_tail(log)}")
        address = _announced(log)
        if address is not None and _answers(address):
            return address
        time.sleep(POLL_SECONDS)
    raise LiveError(f"The server was not up after {START_SECONDS:.0f} seconds:\n{_tail(log)}")


def _announced(log: Path) -> Address | None:
    found = re.search(r"listening on (127\.0\.0\.1):(\d+)", log.read_text(errors="replace"))
    return Address(found[1], int(found[2])) if found else None


def _answers(address: Address) -> bool:
    try:
        _ask(address, "GET", "/v1/ping")
    except OSError:
        return False
    return True


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ------------------------------------------------------------------------------------------------------------ its HTTP


def _create_identity(address: Address) -> str:
    """Have the server issue an identity and give back its token."""
    answer: dict[str, str] = json.loads(_ask(address, "POST", "/v1/identity"))
    return answer["token"]


def _ask(address: Address, method: str, path: str, *, token: str | None = None, body: bytes = b"") -> bytes:
    """Make one request and give back the body of its answer, which has to be a good one."""
    headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection(address.host, address.port, timeout=REQUEST_SECONDS)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise LiveError(f"{method} {path} was answered with {response.status}: {answer.decode(errors='replace')}")
    return answer


# ---------------------------------------------------------------------------------------------------- the command line


def _main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["--is-warm"]:
            return 0 if is_warm() else 1
        case ["--build"]:
            build()
            return 0
        case ["--", _, *_]:
            return _run_beside(arguments[1:])
    print(__doc__, file=sys.stderr)
    return 2


def _run_beside(command: Sequence[str]) -> int:
    """Run a command while a server is up, and give back its exit code as a shell would."""
    # Asked to end, Python would end at once; as an exception it takes the server along.
    signal.signal(signal.SIGTERM, _raise_exit)
    with running() as live:
        environment = {**os.environ, "SPACETIMEDB_URI": live.uri, "SPACETIMEDB_DATABASE": live.database}
        try:
            code = subprocess.run(command, env=environment, check=False).returncode
        except OSError as error:
            print(error, file=sys.stderr)
            return 127
    return code if code >= 0 else 128 - code


def _raise_exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(_main(sys.argv[1:]))
    except LiveError as failure:
        sys.exit(f"tests/live: {failure}")
