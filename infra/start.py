"""Starts each program several times and says how long it took to be ready. See infra/start.sh."""
import http.client, json, os, pathlib, signal, socket, ssl, statistics, subprocess, sys, time

work, port, times = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
trusting = ssl._create_unverified_context()


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def asked(connection, path):
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def status(pid, field):
    return next(int(line.split()[1]) / 1024 for line in open(f"/proc/{pid}/status") if line.startswith(field))


def measure(arguments, environment, ready, rest):
    """Seconds until ready, seconds of processor until then, and with rest the resident set in MiB."""
    begun = time.monotonic()
    with open(work / "part.log", "ab") as log:
        process = subprocess.Popen(arguments, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=work)
    try:
        while not ready():
            if process.poll() is not None or time.monotonic() - begun > 60:
                sys.exit(f"{arguments[-1]} did not become ready:\n" + (work / "part.log").read_text()[-3000:])
            time.sleep(0.01)
        seconds = time.monotonic() - begun
        fields = open(f"/proc/{process.pid}/stat").read().rsplit(") ", 1)[1].split()
        processor = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        memory = None
        if rest:
            time.sleep(10)
            memory = status(process.pid, "VmRSS")
        return seconds, processor, memory
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


gateway_port = port + 10
told = json.loads((work / "data/gateway.json").read_text())["Gateway"]
public = str(pathlib.Path(told["GrantKeyFile"]).with_name("grant.pem"))
repository = {"Listen": f"unix:{work}/own-repository.sock", "Keys": told["Keys"], "DatabaseFile": f"{work}/own.db", "IdentifierKeyFile": told["IdentifierKeyFile"], "GatewayKeyFile": public}
(work / "repository.json").write_text(json.dumps(repository))
subprocess.run(["dotnet", str(work / "true/repository/KantaGateway.Repository.dll"), "migrate", str(work / "repository.json")], check=True, stdout=subprocess.DEVNULL)
(work / "custody").mkdir()
keys = {"Keys": {"Listen": f"unix:{work}/own-keys.sock", "KeyFile": f"{work}/own-keys.json", "GatewayKeyFile": public, "CustodyFolder": f"{work}/custody", "CreateStores": True}}
for ahead in ("true", "false"):
    (work / ahead / "keys" / "appsettings.json").write_text(json.dumps(keys))
parts = {
    "gateway": ("KantaGateway.Gateway.dll", [], {}, lambda: asked(http.client.HTTPSConnection("localhost", gateway_port, timeout=5, context=trusting), "/health/ready")),
    "repository": ("KantaGateway.Repository.dll", [str(work / "repository.json")], {}, lambda: asked(Local(f"{work}/own-repository.sock"), "/health/ready")),
    "keys": ("KantaGateway.Keys.dll", [], {}, lambda: asked(Local(f"{work}/own-keys.sock"), "/health/live")),
}
for name, (program, arguments, environment, ready) in parts.items():
    for ahead, words in (("true", "compiled ahead"), ("false", "compiled as it runs")):
        command = ["dotnet", str(work / ahead / name / program), *arguments]
        # The first has the disk to wait for, and makes what there is none of.
        measure(command, environment, ready, False)
        results = [measure(command, environment, ready, n == 0) for n in range(times)]
        seconds = statistics.median(one[0] for one in results)
        late = " TOO SLOW" if name == "gateway" and ahead == "true" and seconds >= 2 else ""
        print(f"{name}, {words}: ready after {seconds:.2f} s by the median of {times} ({min(one[0] for one in results):.2f} to {max(one[0] for one in results):.2f}), "
              f"{statistics.median(one[1] for one in results):.2f} s of a core; {results[0][2]:.0f} MiB at rest{late}", flush=True)
