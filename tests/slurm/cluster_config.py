"""Configuration files and command lines of the throw-away cluster: every line is there because it fails without it.

Written for SLURM 22.05 (Debian 12). All daemons share 127.0.0.1 and differ by port; with an address for each node,
`srun` from within a job finds no way back.
"""

from pathlib import Path

CONTROLLER, DATABASE, ACCOUNTING = "slurmctld", "mariadbd", "slurmdbd"
GPUS, CPUS, MEMORY_MB = 8, 32, 64_000
# Long enough for any job of this workflow, so that a refusal is one on purpose.
MAX_MINUTES = 2 * 24 * 60


def node_name(number: int) -> str:
    return f"node{number}"


def slurm_conf(
    home: Path, logs: Path, port: int, nodes: int, *, hostname: str | None, database: bool, settings: dict
) -> str:
    """slurm.conf. `port` is the controller's, then come the database's and the nodes'; `hostname` is that of all nodes,
    None where each has its own name; `settings` replace or add lines."""
    lines = {
        "ClusterName": "throwaway",
        "SlurmctldHost": "localhost(127.0.0.1)",
        "SlurmctldPort": port,
        "SlurmdPort": port + 2,
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        # A job requeued after the loss of its node waits until its credential has expired: 120 s by default.
        "AuthInfo": f"socket={home}/munge.socket,cred_expire=15",
        # Without it the daemons listen on every address of the machine.
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "StateSaveLocation": home / "state",
        "SlurmdSpoolDir": home / "spool.%n",
        "SlurmctldPidFile": home / "slurmctld.pid",
        "SlurmdPidFile": home / "slurmd.%n.pid",
        "SlurmctldLogFile": logs / "slurmctld.log",
        "SlurmdLogFile": logs / "slurmd.%n.log",
        "SlurmctldDebug": "verbose",
        "SlurmdDebug": "verbose",
        "MailProg": "/bin/true",
        # No control groups: they need more rights than a container has. Memory is watched by polling instead.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": 5,
        "JobAcctGatherParams": "OverMemoryKill",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        # Without it a job that names no memory gets the whole node's, and jobs run one after another.
        "DefMemPerCPU": 100,
        "GresTypes": "gpu",
        # Believe the sizes below rather than the machine.
        "SlurmdParameters": "config_overrides",
        # A node that comes back may work again at once.
        "ReturnToService": 2,
        # A lost node is noticed after about twice this time.
        "SlurmdTimeout": 10,
        "SlurmctldTimeout": 15,
        "KillWait": 10,
        # By default 300 s; on a busy machine a test may last longer, and looks at its first job again in the end.
        "MinJobAge": 1800,
        "JobRequeue": 0,
        # Refuse what no node can ever do, instead of leaving it in the queue for ever.
        "EnforcePartLimits": "ANY",
        "SchedulerParameters": "bf_interval=2,sched_interval=2",
        "AccountingStorageType": "accounting_storage/none",
    }
    if database:
        lines |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": port + 1,
            # AuthInfo does not count for the way to the database.
            "AccountingStoragePass": f"socket={home}/munge.socket",
            "AccountingStorageTRES": "gres/gpu",
        }
    numbers = range(1, nodes + 1)
    return "\n".join(
        [f"{key}={value}" for key, value in (lines | settings).items()]
        + [f"NodeName=DEFAULT CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:h100:{GPUS} State=UNKNOWN"]
        + [
            f"NodeName={node_name(i)} NodeHostname={hostname or node_name(i)} NodeAddr=127.0.0.1 Port={port + 1 + i}"
            for i in numbers
        ]
        + [
            f"PartitionName={name} Nodes=ALL Default={default} MaxTime={MAX_MINUTES} DefaultTime=10 State=UP"
            for name, default in (("cpu", "YES"), ("gpu", "NO"))
        ]
        + [""]
    )


def gres_conf(home: Path, nodes: int) -> str:
    """gres.conf: GPUs need device files, else SLURM sets no CUDA_VISIBLE_DEVICES; links to /dev/null will do."""
    return f"NodeName=node[1-{nodes}] Name=gpu Type=h100 File={home}/gpu/nvidia[0-{GPUS - 1}]\n"


def slurmdbd_conf(home: Path, logs: Path, port: int) -> str:
    """slurmdbd.conf; the database is found by MYSQL_UNIX_PORT in slurmdbd's environment, for there is no line for it."""
    lines = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={home}/munge.socket",
        "CommunicationParameters": "NoInAddrAny",
        "DbdHost": "localhost",
        "DbdAddr": "127.0.0.1",
        "DbdPort": port + 1,
        "SlurmUser": "root",
        "PidFile": home / "slurmdbd.pid",
        "LogFile": logs / "slurmdbd.log",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": "slurm",
        "StoragePass": "throwaway",
        "StorageLoc": "slurm_acct",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def hosts(nodes: int) -> str:
    """/etc/hosts of the login node and of all others."""
    return "".join(f"127.0.0.1 {name}\n" for name in ["localhost login", *map(node_name, range(1, nodes + 1))])


def texts(
    home: Path, logs: Path, port: int, nodes: int, *, hostname: str | None, database: bool, settings: dict
) -> dict[str, str]:
    """Every file of SLURM's folder by name; arguments as of `slurm_conf`."""
    made = {
        "slurm.conf": slurm_conf(home, logs, port, nodes, hostname=hostname, database=database, settings=settings),
        "gres.conf": gres_conf(home, nodes),
    }
    return made | ({"slurmdbd.conf": slurmdbd_conf(home, logs, port)} if database else {})


def daemon(name: str, home: Path) -> tuple[list[str], dict[str, str]]:
    """Command line and variables of one daemon, in the foreground; a name that is none of them is a node's slurmd."""
    variables = {}
    if name == "munged":
        command = f"munged --foreground --key-file={home}/munge.key --socket={home}/munge.socket"
        command += f" --pid-file={home}/munged.pid --seed-file={home}/munged.seed --log-file={home}/munged.log"
    elif name == DATABASE:
        command = f"mariadbd --no-defaults --user=mysql --datadir={home}/db --socket={home}/db/socket"
        command += f" --pid-file={home}/db/pid --skip-networking"
        command += " --innodb-buffer-pool-size=64M --innodb-log-file-size=32M --innodb-flush-log-at-trx-commit=0"
    elif name == ACCOUNTING:
        command, variables = "slurmdbd -D", {"MYSQL_UNIX_PORT": f"{home}/db/socket"}
    elif name == CONTROLLER:
        command = "slurmctld -D -i"
    else:
        command = f"slurmd -D -N {name}"
    return command.split(), variables
