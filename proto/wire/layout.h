/* Every place that WIRE.md states, held against the compiler: a struct that moved would be another
 * version of the wire. Compiled into both halves. */
#pragma once

#include "proto/wire/message.h"
#include "proto/wire/segment.h"

#define WIRE_SIZE(type, size) static_assert(sizeof(struct type) == (size), "wire v1 is frozen")
#define WIRE_PLACE(type, member, place)                                                            \
    static_assert(offsetof(struct type, member) == (place), "wire v1 is frozen")

/* ---- messages ------------------------------------------------------------------------------ */

WIRE_SIZE(message_header, 16);
WIRE_PLACE(message_header, magic, 0);
WIRE_PLACE(message_header, kind, 4);
WIRE_PLACE(message_header, version_major, 6);
WIRE_PLACE(message_header, version_minor, 8);
WIRE_PLACE(message_header, version_major_oldest, 10);

WIRE_SIZE(message_hello, 56);
WIRE_PLACE(message_hello, header, 0);
WIRE_PLACE(message_hello, hello_kind, 16);
WIRE_PLACE(message_hello, attribute_count, 18);
WIRE_PLACE(message_hello, pid, 20);
WIRE_PLACE(message_hello, client_id, 24);
WIRE_PLACE(message_hello, monotonic_ns, 40);
WIRE_PLACE(message_hello, realtime_ns, 48);

WIRE_SIZE(message_welcome, 32);
WIRE_PLACE(message_welcome, header, 0);
WIRE_PLACE(message_welcome, flags, 16);
WIRE_PLACE(message_welcome, acknowledged, 24);

WIRE_SIZE(message_refused, 24);
WIRE_PLACE(message_refused, header, 0);
WIRE_PLACE(message_refused, reason, 16);
WIRE_PLACE(message_refused, text_length, 20);

WIRE_SIZE(message_frame, 32);
WIRE_PLACE(message_frame, header, 0);
WIRE_PLACE(message_frame, number, 16);
WIRE_PLACE(message_frame, record_count, 24);

WIRE_SIZE(message_ack, 24);
WIRE_PLACE(message_ack, header, 0);
WIRE_PLACE(message_ack, number, 16);

/* ---- records ------------------------------------------------------------------------------- */

WIRE_SIZE(record_header, 16);
WIRE_PLACE(record_header, kind, 0);
WIRE_PLACE(record_header, length, 2);
WIRE_PLACE(record_header, number, 4);
WIRE_PLACE(record_header, time_ns, 8);

WIRE_SIZE(record_name, 32);
WIRE_PLACE(record_name, header, 0);
WIRE_PLACE(record_name, id, 16);
WIRE_PLACE(record_name, name_kind, 24);
WIRE_PLACE(record_name, flags, 26);
WIRE_PLACE(record_name, text_length, 28);

WIRE_SIZE(event_head, 40);
WIRE_PLACE(event_head, header, 0);
WIRE_PLACE(event_head, target, 16);
WIRE_PLACE(event_head, hold_id, 24);
WIRE_PLACE(event_head, sequence, 32);
WIRE_PLACE(event_head, flags, 36);

WIRE_SIZE(record_statement, 96);
WIRE_PLACE(record_statement, head, 0);
WIRE_PLACE(record_statement, fingerprint, 40);
WIRE_PLACE(record_statement, duration_ns, 48);
WIRE_PLACE(record_statement, first_byte_ns, 56);
WIRE_PLACE(record_statement, rows, 64);
WIRE_PLACE(record_statement, sqlstate, 72);
WIRE_PLACE(record_statement, failure, 77);
WIRE_PLACE(record_statement, slot, 78);
WIRE_PLACE(record_statement, call_site, 80);
WIRE_PLACE(record_statement, wait_ns, 88);

WIRE_SIZE(record_connect, 96);
WIRE_PLACE(record_connect, head, 0);
WIRE_PLACE(record_connect, connection, 40);
WIRE_PLACE(record_connect, duration_ns, 48);
WIRE_PLACE(record_connect, backend_pid, 56);
WIRE_PLACE(record_connect, sqlstate, 72);
WIRE_PLACE(record_connect, failure, 77);
WIRE_PLACE(record_connect, slot, 78);

WIRE_SIZE(record_close, 96);
WIRE_PLACE(record_close, head, 0);
WIRE_PLACE(record_close, connection, 40);
WIRE_PLACE(record_close, lifetime_ns, 48);
WIRE_PLACE(record_close, sqlstate, 72);
WIRE_PLACE(record_close, failure, 77);
WIRE_PLACE(record_close, slot, 78);

WIRE_SIZE(record_acquire, 96);
WIRE_PLACE(record_acquire, head, 0);
WIRE_PLACE(record_acquire, wait_ns, 40);
WIRE_PLACE(record_acquire, sqlstate, 72);
WIRE_PLACE(record_acquire, failure, 77);
WIRE_PLACE(record_acquire, slot, 78);
WIRE_PLACE(record_acquire, call_site, 80);

WIRE_SIZE(record_release, 96);
WIRE_PLACE(record_release, head, 0);
WIRE_PLACE(record_release, use_ns, 40);
WIRE_PLACE(record_release, executing_ns, 48);
WIRE_PLACE(record_release, idle_in_transaction_ns, 56);
WIRE_PLACE(record_release, idle_ns, 64);
WIRE_PLACE(record_release, slot, 78);
WIRE_PLACE(record_release, call_site, 80);
WIRE_PLACE(record_release, wait_ns, 88);

WIRE_SIZE(record_transaction, 96);
WIRE_PLACE(record_transaction, head, 0);
WIRE_PLACE(record_transaction, duration_ns, 40);
WIRE_PLACE(record_transaction, executing_ns, 48);
WIRE_PLACE(record_transaction, sqlstate, 72);
WIRE_PLACE(record_transaction, outcome, 77);
WIRE_PLACE(record_transaction, slot, 78);
WIRE_PLACE(record_transaction, call_site, 80);

WIRE_SIZE(record_prepare, 96);
WIRE_PLACE(record_prepare, head, 0);
WIRE_PLACE(record_prepare, fingerprint, 40);
WIRE_PLACE(record_prepare, duration_ns, 48);
WIRE_PLACE(record_prepare, sqlstate, 72);
WIRE_PLACE(record_prepare, failure, 77);
WIRE_PLACE(record_prepare, slot, 78);
WIRE_PLACE(record_prepare, action, 80);

WIRE_SIZE(record_cancel, 96);
WIRE_PLACE(record_cancel, head, 0);
WIRE_PLACE(record_cancel, fingerprint, 40);
WIRE_PLACE(record_cancel, sqlstate, 72);
WIRE_PLACE(record_cancel, failure, 77);
WIRE_PLACE(record_cancel, slot, 78);

WIRE_SIZE(record_parameters, 96);
WIRE_PLACE(record_parameters, head, 0);
WIRE_PLACE(record_parameters, fingerprint, 40);
WIRE_PLACE(record_parameters, count, 48);
WIRE_PLACE(record_parameters, bytes_length, 52);

WIRE_SIZE(record_pool_state, 96);
WIRE_PLACE(record_pool_state, head, 0);
WIRE_PLACE(record_pool_state, connections_max, 40);
WIRE_PLACE(record_pool_state, connections_min, 44);
WIRE_PLACE(record_pool_state, idle_max, 48);
WIRE_PLACE(record_pool_state, idle_min, 52);
WIRE_PLACE(record_pool_state, used, 56);
WIRE_PLACE(record_pool_state, idle, 60);
WIRE_PLACE(record_pool_state, waiting, 64);
WIRE_PLACE(record_pool_state, connecting, 68);
WIRE_PLACE(record_pool_state, timeouts, 72);

WIRE_SIZE(event_context, 64);
WIRE_PLACE(event_context, trace_id, 0);
WIRE_PLACE(event_context, parent_span_id, 16);
WIRE_PLACE(event_context, tenant, 24);
WIRE_PLACE(event_context, object, 32);
WIRE_PLACE(event_context, tracestate, 40);
WIRE_PLACE(event_context, backend_pid, 48);
WIRE_PLACE(event_context, trace_flags, 52);

/* ---- segment and board --------------------------------------------------------------------- */

WIRE_SIZE(segment_header, 320);
WIRE_PLACE(segment_header, magic, 0);
WIRE_PLACE(segment_header, version_major, 8);
WIRE_PLACE(segment_header, version_minor, 10);
WIRE_PLACE(segment_header, header_size, 12);
WIRE_PLACE(segment_header, segment_size, 16);
WIRE_PLACE(segment_header, segment_id, 24);
WIRE_PLACE(segment_header, board_offset, 40);
WIRE_PLACE(segment_header, names_offset, 48);
WIRE_PLACE(segment_header, lanes_offset, 56);
WIRE_PLACE(segment_header, names_stride, 64);
WIRE_PLACE(segment_header, lane_stride, 68);
WIRE_PLACE(segment_header, lane_count, 72);
WIRE_PLACE(segment_header, pool_count, 76);
WIRE_PLACE(segment_header, slot_count, 80);
WIRE_PLACE(segment_header, waiter_count, 84);
WIRE_PLACE(segment_header, created_monotonic_ns, 88);
WIRE_PLACE(segment_header, created_realtime_ns, 96);
WIRE_PLACE(segment_header, pid, 104);
WIRE_PLACE(segment_header, control, 128);
WIRE_PLACE(segment_header, epoch, 132);
WIRE_PLACE(segment_header, dropped, 192);
WIRE_PLACE(segment_header, names_refused, 256);
WIRE_PLACE(segment_header, slots_refused, 264);
WIRE_PLACE(segment_header, waiters_refused, 272);
WIRE_PLACE(segment_header, pools_refused, 280);
WIRE_PLACE(segment_header, disabled_by_check, 288);

WIRE_SIZE(lane, 192);
WIRE_PLACE(lane, magic, 0);
WIRE_PLACE(lane, capacity, 4);
WIRE_PLACE(lane, owner, 64);
WIRE_PLACE(lane, head, 72);
WIRE_PLACE(lane, recorded, 80);
WIRE_PLACE(lane, lap, 88);
WIRE_PLACE(lane, tail, 128);

WIRE_SIZE(board_process, 64);
WIRE_PLACE(board_process, observed, 0);
WIRE_PLACE(board_process, library_version, 4);
WIRE_PLACE(board_process, statements_open, 8);
WIRE_PLACE(board_process, progress, 16);

WIRE_SIZE(board_peak, 16);
WIRE_PLACE(board_peak, window, 0);

WIRE_SIZE(board_pool, 128);
WIRE_PLACE(board_pool, target, 0);
WIRE_PLACE(board_pool, flags, 8);
WIRE_PLACE(board_pool, connections_max, 12);
WIRE_PLACE(board_pool, connections_min, 16);
WIRE_PLACE(board_pool, idle_max, 20);
WIRE_PLACE(board_pool, idle_min, 24);
WIRE_PLACE(board_pool, used, 64);
WIRE_PLACE(board_pool, idle, 68);
WIRE_PLACE(board_pool, used_and_idle, 64);
WIRE_PLACE(board_pool, waiting, 72);
WIRE_PLACE(board_pool, connecting, 76);
WIRE_PLACE(board_pool, timeouts, 80);
WIRE_PLACE(board_pool, used_peak, 88);
WIRE_PLACE(board_pool, waiting_peak, 104);

WIRE_SIZE(board_slot, 192);
WIRE_PLACE(board_slot, sequence, 0);
WIRE_PLACE(board_slot, state, 4);
WIRE_PLACE(board_slot, pool, 8);
WIRE_PLACE(board_slot, backend_pid, 12);
WIRE_PLACE(board_slot, connection, 16);
WIRE_PLACE(board_slot, target, 24);
WIRE_PLACE(board_slot, since_ns, 32);
WIRE_PLACE(board_slot, acquired_ns, 40);
WIRE_PLACE(board_slot, hold_id, 48);
WIRE_PLACE(board_slot, call_site, 56);
WIRE_PLACE(board_slot, tenant, 64);
WIRE_PLACE(board_slot, trace_id, 72);
WIRE_PLACE(board_slot, parent_span_id, 88);
WIRE_PLACE(board_slot, fingerprint, 96);
WIRE_PLACE(board_slot, statement_since_ns, 104);
WIRE_PLACE(board_slot, oldest_open, 112);
WIRE_PLACE(board_slot, newest_sent, 116);
WIRE_PLACE(board_slot, thread, 120);
WIRE_PLACE(board_slot, trace_flags, 124);
WIRE_PLACE(board_slot, opened_ns, 128);

WIRE_SIZE(board_waiter, 64);
WIRE_PLACE(board_waiter, sequence, 0);
WIRE_PLACE(board_waiter, pool, 4);
WIRE_PLACE(board_waiter, since_ns, 8);
WIRE_PLACE(board_waiter, call_site, 16);
WIRE_PLACE(board_waiter, tenant, 24);
WIRE_PLACE(board_waiter, trace_id, 32);
WIRE_PLACE(board_waiter, thread, 48);

#undef WIRE_SIZE
#undef WIRE_PLACE
