"""A real hub with its proxy, and six learners who run a lesson at once."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.request import urlopen

import nbformat
import psutil
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

ROOT = Path(__file__).parent.parent.parent
TEACH = ROOT / ".venv-teach"
PROXY = TEACH / "node_modules" / ".bin" / "configurable-http-proxy"
pytestmark = [
    pytest.mark.skipif(
        not PROXY.exists(), reason="make .venv-teach/proxy.stamp installs JupyterHub and its proxy"
    ),
    pytest.mark.timeout(600),
]
LESSON = "00_start_here"
CHOICES = {
    "single": "about 14 thousand times",
    "huge": "more than 100 million times",
    "added": "about 20 times",
}
NAMES = ("ada", "ben", "cleo", "dan", "eve", "fay")
# The hub of the course, for learners who are no accounts of this machine.
CONFIG = """
load_subconfig({deployed!r})
c.JupyterHub.bind_url = "http://127.0.0.1:{ports[0]}"
c.JupyterHub.hub_port = {ports[1]}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports[2]}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.args = {root}
c.JupyterHub.services = [{{"name": "teacher", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "teacher", "services": ["teacher"], "scopes": ["admin:users", "admin:servers", "tokens"]}}
]
"""


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Hub:
    """A hub that runs in a folder; learners are asked through its proxy."""

    def __init__(self, folder):
        self.folder, self.token = folder, secrets.token_hex(16)
        self.homes, ports = folder / "homes", free_ports(3)
        self.address = f"http://127.0.0.1:{ports[0]}"
        config = folder / "config.py"
        config.write_text(
            CONFIG.format(
                deployed=str(ROOT / "deploy" / "jupyterhub_config.py"),
                ports=ports,
                proxy=str(PROXY),
                homes=str(self.homes),
                root=["--allow-root"] if os.getuid() == 0 else [],
                token=self.token,
            )
        )
        self.log = (folder / "log").open("w")
        # One progress folder for the whole machine, which would mix all learners.
        shared = {"GRADUTILS_HOME": str(folder / "shared")}
        self.process = subprocess.Popen(
            (TEACH / "bin" / "jupyterhub", "-f", config),
            cwd=folder,
            env=os.environ | shared,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        end = time.monotonic() + 120
        while True:
            try:
                urlopen(f"{self.address}/hub/api", timeout=5)
                return
            except OSError:
                assert self.process.poll() is None, self.said()
                assert time.monotonic() < end, self.said()
                time.sleep(0.2)

    def said(self):
        return (self.folder / "log").read_text()

    def stop(self):
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs([psutil.Process(self.process.pid), *family], timeout=20)
        for process in alive:
            process.kill()
        self.process.wait()
        self.log.close()

    async def ask(self, method, path, body=None, token=None):
        """The JSON that an address of the hub or of a learner's server answers with."""
        request = HTTPRequest(
            f"{self.address}{path}",
            method=method,
            body=None if method in ("GET", "DELETE") else json.dumps(body or {}),
            headers={"Authorization": f"token {token or self.token}"},
            request_timeout=200,
        )
        answer = await AsyncHTTPClient().fetch(request)
        return json.loads(answer.body or "null")


class Learner:
    def __init__(self, hub, name):
        self.hub, self.name, self.home = hub, name, hub.homes / name
        self.seconds = {}

    async def start(self):
        """Ask for a server and wait until it is there."""
        begun = time.monotonic()
        await self.hub.ask("POST", f"/hub/api/users/{self.name}/server")
        while True:
            servers = (await self.hub.ask("GET", f"/hub/api/users/{self.name}"))["servers"]
            if servers.get("", {}).get("ready"):
                break
            await asyncio.sleep(0.2)
        self.seconds["server"] = time.monotonic() - begun

    async def stop(self):
        await self.hub.ask("DELETE", f"/hub/api/users/{self.name}/server")
        while (await self.hub.ask("GET", f"/hub/api/users/{self.name}"))["servers"]:
            await asyncio.sleep(0.2)

    async def come(self):
        await self.hub.ask("POST", f"/hub/api/users/{self.name}")
        self.token = (await self.hub.ask("POST", f"/hub/api/users/{self.name}/tokens"))["token"]
        begun = time.monotonic()
        await self.start()
        lesson = await self.ask("GET", f"contents/lessons/{LESSON}.ipynb")
        self.kernel = (
            await self.ask("POST", "kernels", {"name": "python3", "path": f"lessons/{LESSON}.ipynb"})
        )["id"]
        self.seconds["lesson and kernel"] = time.monotonic() - begun
        self.cells = nbformat.from_dict(lesson["content"]).cells

    async def ask(self, method, path, body=None, of=None):
        """Ask the server of this learner, or that of another one."""
        return await self.hub.ask(method, f"/user/{of or self.name}/api/{path}", body, self.token)

    async def run(self, sources):
        """What each cell printed or showed."""
        address = (
            f"{self.hub.address.replace('http', 'ws', 1)}/user/{self.name}/api/kernels/{self.kernel}/channels"
        )
        socket = await websocket_connect(
            HTTPRequest(address, headers={"Authorization": f"token {self.token}"}),
            max_message_size=50_000_000,
        )
        said = []
        for source in sources:
            asked = uuid.uuid4().hex
            header = {
                "msg_id": asked,
                "msg_type": "execute_request",
                "version": "5.3",
                "session": asked,
                "username": "",
            }
            content = {
                "code": source,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
            }
            empty = {"parent_header": {}, "metadata": {}, "buffers": []}
            await socket.write_message(
                json.dumps({"header": header, "content": content, "channel": "shell"} | empty)
            )
            said.append(await self._heard(socket, asked))
        socket.close()
        return said

    async def _heard(self, socket, asked):
        """Everything that a cell says until the kernel is idle again."""
        said = ""
        while True:
            raw = await socket.read_message()
            message = (
                json.loads(raw) if isinstance(raw, str) else {"parent_header": {}}
            )  # of widgets, in bytes
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return said
            said += content.get("text", "") + content.get("data", {}).get("text/plain", "")
            said += f"\n{content['ename']}: {content['evalue']}" if kind == "error" else ""

    def events(self):
        log = self.home / ".local" / "share" / "gradutils" / "progress.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines() if line]

    def costs(self):
        """Of the server and of its kernel the megabytes, with their part of what several share, and the seconds of processor."""
        server = next(
            process
            for process in psutil.Process(self.hub.process.pid).children(recursive=True)
            if process.environ().get("JUPYTERHUB_USER") == self.name
            and "jupyterhub.singleuser" in process.cmdline()
        )
        family = (server, *server.children())
        memory = [process.memory_full_info() for process in family]
        used = [sum(process.cpu_times()[:2]) for process in family]
        return [round(getattr(one, "pss", one.uss) / 1e6) for one in memory], [
            round(seconds, 1) for seconds in used
        ]


def lesson_of(learner, k):
    """The code of the lesson, as learner number k fills it in: another choice, other tries, and every second one is right."""
    sources = [cell.source for cell in learner.cells if cell.cell_type == "code"]
    chosen, answered = (
        next(s for s in sources if s.startswith("single =")),
        next(s for s in sources if "    ..." in s),
    )
    answer = "x.square().mean().sqrt()" if k % 2 == 0 else "x.square().sum().sqrt()"
    changed = {
        chosen: chosen.replace("added])", f"added], choice={list(CHOICES)[k % 3]})"),
        answered: answered.replace("    ...", f"    return {answer}").replace(
            "rms = ", 'check("00.1", rms)\n' * (k // 2) + "rms = "
        ),
    }
    assert all(new != old for old, new in changed.items())
    return [changed.get(source, source) for source in sources]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    begun = time.monotonic()
    hub = Hub(tmp_path_factory.mktemp("hub"))
    hub.seconds = time.monotonic() - begun
    yield hub
    hub.stop()


async def six_at_once(hub):
    learners = [Learner(hub, name) for name in NAMES]
    await asyncio.gather(*(learner.come() for learner in learners))
    begun = time.monotonic()
    said = await asyncio.gather(*(one.run(lesson_of(one, k)) for k, one in enumerate(learners)))
    print(f"\nhub up in {hub.seconds:.0f} s; six lessons run at once in {time.monotonic() - begun:.0f} s")
    for one in learners:
        took = ", ".join(f"{what} after {seconds:.1f} s" for what, seconds in one.seconds.items())
        memory, used = one.costs()
        print(f"{one.name}: {took}; server and kernel {memory} MB, {used} s of processor")
        assert sum(memory) < 1000, "docs/classroom.md counts with less"
    for k, (one, outputs) in enumerate(zip(learners, said, strict=True)):
        assert not [text for text in outputs if "Error" in text], outputs
        (chosen,) = (event["choice"] for event in one.events() if event["event"] == "chosen")
        assert chosen.startswith(list(CHOICES.values())[k % 3])
        checks = [event["event"] for event in one.events() if event["id"] == "00.1"]
        assert checks == ["tried", *(["tried", "passed"][k % 2 == 0] for _ in range(1 + k // 2))]
        table = next(text for text in outputs if "exercises" in text and "00.1" in text and "lesson" in text)
        assert ("✓ 00.1" in table) == (k % 2 == 0)
    assert not (hub.folder / "shared").exists()
    assert "Culling kernels with idle durations > 3600 seconds" in hub.said()
    assert "nbgrader" not in hub.said()

    ada, ben = learners[:2]
    with pytest.raises(HTTPClientError) as refused:
        await ada.ask("GET", f"contents/lessons/{LESSON}.ipynb", of=ben.name)
    assert refused.value.code in (403, 404)

    # A server that is stopped and started again, as a whole and within a lesson, leaves everything as it was.
    path, before = f"contents/lessons/{LESSON}.ipynb", ada.events()
    model = await ada.ask("GET", path)
    model["content"]["cells"].append(nbformat.v4.new_markdown_cell("A note of mine"))
    await ada.ask("PUT", path, model)
    await ada.stop()
    await ada.start()
    kept = (await ada.ask("GET", path))["content"]["cells"]
    assert kept[-1]["source"] in ("A note of mine", ["A note of mine"])
    assert ada.events() == before
    names = {entry["name"] for entry in (await ada.ask("GET", "contents/lessons"))["content"]}
    assert names == {file.name for file in (ROOT / "lessons").glob("*.ipynb")}
    assert (await ada.ask("GET", f"contents/solutions/{LESSON}.ipynb"))["type"] == "notebook"

    if (
        sys.platform == "linux"
    ):  # a cell that takes more than there is ends in a sentence, and the kernel lives
        ada.kernel = (await ada.ask("POST", "kernels", {"name": "python3", "path": "lessons/x.ipynb"}))["id"]
        heard = await ada.run(["x = bytearray(3 * 10**9)", "print(6 * 7)"])
        assert "MemoryError" in heard[0]
        assert heard[1].strip() == "42"


def test_six_learners_at_once(hub):
    try:
        asyncio.run(six_at_once(hub))
    except BaseException:
        print(hub.said()[-8000:])
        raise
