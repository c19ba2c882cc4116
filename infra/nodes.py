#!/usr/bin/env python3
"""What a gateway and a repository more bring: infra/scale.sh nodes measures, this computes and simulates.

    infra/nodes.py MEASURED TICKS_A_SECOND

MEASURED has a line for one of each and one for two of each: how many writes and other requests there were, and the processor time (ticks) of the
database's servers and of each process: the first has a gateway, a repository and the key service, the second is a repository, the third a gateway.
Ends with 1 where by simulation an added node brings less than 0.9 of one.
"""
import heapq
import random
import sys

# A node is a gateway and a repository of so many cores each.
CORES = 4
# Callers at each node that wait for one answer before they ask again: as many as keep it busy though commits at the head wait for those of others.
CALLERS = 512
# Of the one database server: cores, and how long a commit of the audit log holds the head (flush 3.4 ms measured, a standby's confirmation assumed 1 ms).
DATABASE_CORES, HEAD = 32, 0.0044
NODES = (1, 2, 3, 4, 6, 8)
LEAST = 0.9


def simulate(nodes, gateway, repository, database, seconds=4.0, seed=1):
    """Requests a second that so many nodes answer, how busy the database's cores are, and how long a commit waited for the audit log's head; times are seconds."""
    chance = random.Random(seed)
    now, events, order = 0.0, [], 0
    free = {('gateway', n): CORES for n in range(nodes)} | {('repository', n): CORES for n in range(nodes)} | {'database': DATABASE_CORES}
    queues = {place: [] for place in free}
    batches, committing, head_queue, head_free = [[] for _ in range(nodes)], [False] * nodes, [], True
    answered = busy_database = 0
    waited = []

    def at(time, what, *of):
        nonlocal order
        order += 1
        heapq.heappush(events, (time, order, what, of))

    def work(place, mean, request):
        nonlocal busy_database
        if free[place] == 0:
            queues[place].append((mean, request))
            return
        free[place] -= 1
        took = chance.expovariate(1 / mean)
        if place == 'database':
            busy_database += took
        at(now + took, 'worked', place, request)

    def take_head():
        # Whoever is first in the queue commits all that waits at its gateway by then.
        nonlocal head_free
        if head_free and head_queue:
            head_free, (n, since) = False, head_queue.pop(0)
            waited.append(now - since)
            batch, batches[n] = batches[n], []
            at(now + HEAD, 'committed', n, batch)

    def commit(n):
        if not committing[n] and batches[n]:
            committing[n] = True
            head_queue.append((n, now))
            take_head()

    def step(request):
        n, stage = request
        if stage == 0:
            work(('gateway', n), gateway / 2, (n, 1))
        elif stage == 1:
            # A person's records are at one repository, whichever gateway asks.
            work(('repository', chance.randrange(nodes)), repository, (n, 2))
        elif stage == 2:
            work('database', database, (n, 3))
        elif stage == 3:
            batches[n].append((n, 4))
            commit(n)
        elif stage == 4:
            work(('gateway', n), gateway / 2, (n, 5))

    for n in range(nodes):
        for _ in range(CALLERS):
            at(chance.random() * 0.1, 'asked', (n, 0))
    warm = 1.0
    while events and now < warm + seconds:
        now, _, what, of = heapq.heappop(events)
        if what == 'asked':
            step(of[0])
        elif what == 'worked':
            place, request = of
            free[place] += 1
            if queues[place]:
                work(place, *queues[place].pop(0))
            if request[1] == 5:
                answered += now > warm
                at(now, 'asked', (request[0], 0))
            else:
                step(request)
        else:
            n, batch = of
            head_free, committing[n] = True, False
            for request in batch:
                step(request)
            commit(n)
            take_head()
    return answered / seconds, busy_database / (now * DATABASE_CORES), sum(waited) / len(waited)


def main(measured, ticks):
    cost = {}
    for line in open(measured, encoding='utf-8'):
        words = line.split()
        told = dict(zip(words[::2], map(int, words[1::2])))
        requests = told['writes'] + told['others']
        process = [1e6 * told[f'process{i}'] / ticks / requests for i in range(3) if f'process{i}' in told]
        database = 1e6 * told['database'] / ticks / requests
        primary = 1e6 * told['primary'] / ticks / requests
        cost[told['nodes']] = (sum(process), database, process)
        print(f"{told['nodes']} of each: {requests} requests, {100 * told['writes'] / requests:.0f} of 100 are writes; microseconds of a core for one: product {sum(process):.0f}, database's three servers {database:.0f}, of which its primary {primary:.0f}")
    (one, database_one, _), (two, database_two, process) = cost[1], cost[2]
    rate = (one + database_one) / (two + database_two)
    print(f"on the same cores two of each answer {rate:.2f} of what one of each answers: {two + database_two - one - database_one:+.0f} microseconds for a request")
    # The third process answers half of the requests as a gateway; what is not of gateways is of repositories and the key service.
    gateway, database = 2 * process[2], primary
    repository = sum(process) - gateway
    print(f"simulated: gateway {gateway:.0f}, repository and keys {repository:.0f}, database's primary {database:.0f} microseconds; {CORES} cores for a gateway and for a repository, {DATABASE_CORES} for the primary, {1000 * HEAD:.1f} ms for a commit of the audit log, one at a time; {CALLERS} callers at a node")
    failed, before = False, None
    for nodes in NODES:
        answered, busy, wait = simulate(nodes, gateway / 1e6, repository / 1e6, database / 1e6)
        first = answered if nodes == 1 else first
        line = f"  {nodes}: {answered:.0f} requests a second, primary {100 * busy:.0f} of 100 busy, a commit waits {1000 * wait:.1f} ms for the head of the audit log"
        if before is not None:
            each = (answered - before[1]) / (nodes - before[0]) / first
            line += f"; each added brings {each:.2f} of one"
            failed |= each < LEAST
        print(line)
        before = (nodes, answered)
    on_paper = 1e6 * DATABASE_CORES / database / (1e6 * CORES / max(gateway, repository))
    print(f"on paper: a node answers {1e6 * CORES / max(gateway, repository):.0f} a second, bound by its dearer half; a primary of {DATABASE_CORES} cores carries {on_paper:.0f} nodes")
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
