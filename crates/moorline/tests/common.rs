//! One list of tests, run over every transport and every protocol: what holds on one wire holds on
//! all of them. Sealed ones run with several threads, plain ones on a single thread.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "common/bulk.rs"]
mod bulk;
#[path = "common/endings.rs"]
mod endings;
#[path = "common/events.rs"]
mod events;
#[path = "common/mistakes.rs"]
mod mistakes;
#[path = "common/posts.rs"]
mod posts;
#[path = "common/requests.rs"]
mod requests;
#[path = "common/times.rs"]
mod times;

mod support;

macro_rules! on_wire {
    ($name:ident $run:ident $scheme:literal $protocol:literal $($part:ident { $($test:ident)+ })+) => {
        mod $name {
            $($(
                #[test]
                fn $test() {
                    let wire = crate::support::Wire::new($scheme, $protocol);
                    crate::support::$run(async move { crate::$part::$test(&wire).await });
                }
            )+)+
        }
    };
}

macro_rules! on_every_wire {
    ($($tests:tt)+) => {
        on_wire!(tcp_msgpack run "tcp" "msgpack" $($tests)+);
        on_wire!(mem_msgpack run "mem" "msgpack" $($tests)+);
        #[cfg(unix)]
        on_wire!(uds_msgpack run "uds" "msgpack" $($tests)+);
        on_wire!(tcp_plain run_on_one_thread "tcp" "msgpack-plain" $($tests)+);
        on_wire!(mem_plain run_on_one_thread "mem" "msgpack-plain" $($tests)+);
        #[cfg(unix)]
        on_wire!(uds_plain run_on_one_thread "uds" "msgpack-plain" $($tests)+);
    };
}

on_every_wire! {
    posts {
        posts_go_both_ways
        a_borrowed_message_is_seen_where_it_lies
        ten_thousand_posts_arrive_in_their_order
        a_post_that_welcomes_a_new_session_arrives
        a_full_outbox_says_so_and_loses_nothing
        a_crowd_of_senders_shares_a_session
        a_barrier_says_that_all_before_it_was_dispatched
        a_handler_that_panics_costs_one_post
        what_no_handler_takes_goes_to_the_default_one
        a_handler_of_later_reaches_the_peer
    }
    requests {
        requests_go_both_ways
        answers_come_in_any_order
        five_hundred_calls_at_once_get_their_own_answers
        an_application_error_keeps_its_type
        a_handler_that_panics_costs_one_call
        a_handler_may_call_back_while_it_is_called
        a_call_that_nobody_handles_says_so
        a_default_handler_answers_calls
    }
    bulk {
        ten_mebibytes_go_both_ways
        no_byte_and_one_byte_and_the_edges_of_blocks
        what_is_above_the_limit_of_the_peer_is_refused_here
        a_small_call_passes_a_large_one
    }
    times {
        a_call_gives_up_in_time
        the_default_time_of_a_service_holds
        a_dropped_call_drops_its_handler
        a_slow_handler_holds_nobody_up
    }
    endings {
        a_farewell_carries_code_and_text
        what_was_sent_before_close_arrives
        a_close_is_told_once_to_each_subscriber
        a_call_in_flight_ends_with_its_session
        a_shutdown_answers_what_is_in_flight
        a_shutdown_keeps_its_deadline
        who_is_shut_down_starts_nothing
    }
    events {
        sessions_are_told_from_first_to_last
        what_does_not_become_a_session_is_told
        an_id_finds_its_session_while_it_lives
        one_service_serves_two_protocols
    }
    mistakes {
        two_handlers_of_one_message_stop_the_start
        unknown_names_are_answered_with_the_known_ones
        addresses_that_cannot_be_are_explained
        nobody_listens_where_somebody_does
    }
}

/// Between two of us, and without what stands on names of messages or on Moorline's own handshake:
/// peers of gofast know numbers, and tell nobody what they handle.
#[cfg(feature = "gofast")]
macro_rules! on_wires_of_gofast {
    ($($tests:tt)+) => {
        on_wire!(tcp_gofast run "tcp" "gofast" $($tests)+);
        on_wire!(mem_gofast run_on_one_thread "mem" "gofast" $($tests)+);
        on_wire!(tcp_gofast_2016 run_on_one_thread "tcp" "gofast-2016" $($tests)+);
        on_wire!(mem_gofast_2016 run "mem" "gofast-2016" $($tests)+);
    };
}

#[cfg(feature = "gofast")]
on_wires_of_gofast! {
    posts {
        posts_go_both_ways
        a_borrowed_message_is_seen_where_it_lies
        ten_thousand_posts_arrive_in_their_order
        a_post_that_welcomes_a_new_session_arrives
        a_full_outbox_says_so_and_loses_nothing
        a_crowd_of_senders_shares_a_session
        a_barrier_says_that_all_before_it_was_dispatched
        a_handler_that_panics_costs_one_post
    }
    requests {
        requests_go_both_ways
        answers_come_in_any_order
        five_hundred_calls_at_once_get_their_own_answers
        an_application_error_keeps_its_type
        a_handler_that_panics_costs_one_call
        a_handler_may_call_back_while_it_is_called
    }
    bulk {
        ten_mebibytes_go_both_ways
        no_byte_and_one_byte_and_the_edges_of_blocks
        what_is_above_the_limit_of_the_peer_is_refused_here
        a_small_call_passes_a_large_one
    }
    times {
        a_call_gives_up_in_time
        the_default_time_of_a_service_holds
        a_dropped_call_drops_its_handler
        a_slow_handler_holds_nobody_up
    }
    endings {
        a_farewell_carries_code_and_text
        what_was_sent_before_close_arrives
        a_close_is_told_once_to_each_subscriber
        a_call_in_flight_ends_with_its_session
        a_shutdown_answers_what_is_in_flight
        a_shutdown_keeps_its_deadline
        who_is_shut_down_starts_nothing
    }
    events {
        sessions_are_told_from_first_to_last
        an_id_finds_its_session_while_it_lives
    }
    mistakes {
        two_handlers_of_one_message_stop_the_start
        unknown_names_are_answered_with_the_known_ones
        addresses_that_cannot_be_are_explained
        nobody_listens_where_somebody_does
    }
}
