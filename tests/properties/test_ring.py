from __future__ import annotations

import os
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.decisions.ring import MIN_CAPACITY, Ring, allocate

HEADER_BYTES = 16

steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, MIN_CAPACITY - HEADER_BYTES)),
        st.tuples(st.just("push"), st.integers(0, 100)),
        st.tuples(st.just("read"), st.integers(1, 8)),
        st.tuples(st.just("release"), st.just(0)),
        st.tuples(st.just("replace consumer"), st.just(0)),
    ),
    max_size=120,
)


@given(steps, st.integers(0, 3 * MIN_CAPACITY))
def test_a_ring_is_a_queue(steps, start):
    """Whatever is pushed, read, released or started over, messages come out once and in order."""
    producer = Ring(allocate(MIN_CAPACITY))
    consumer = Ring(os.dup(producer.fd))
    for _ in range(start // 1024):  # begin somewhere in the round
        producer.push(bytes(start % 1009))
        consumer.read(9, 1 << 20)
        consumer.release()
    waiting, taken = deque(), deque()  # not read yet; read and not released
    used = 0
    for step, amount in steps:
        if step == "push":
            message = os.urandom(amount)
            sequence = producer.push(message)
            fits = used + HEADER_BYTES + amount <= MIN_CAPACITY
            assert (sequence is not None) == fits
            if fits:
                waiting.append((sequence, message))
                used += HEADER_BYTES + amount
        elif step == "read":
            found = consumer.read(amount, 1 << 20)
            assert found == [waiting[n] for n in range(min(amount, len(waiting)))]
            taken.extend(waiting.popleft() for _ in found)
        elif step == "release":
            consumer.release()
            used -= sum(HEADER_BYTES + len(message) for _, message in taken)
            taken.clear()
        else:
            consumer.close()
            consumer = Ring(os.dup(producer.fd))
            waiting.extendleft(reversed(taken))
            taken.clear()
    assert consumer.read(1 << 20, 1 << 30) == list(waiting)
    consumer.close()
    producer.close()
