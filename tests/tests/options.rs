//! The environment variable `STRATALLOC`: what it does not understand is said once, nothing is ignored
//! in silence, and the program runs in any case.

use stratalloc_tests::{Outcome, c, on_library};

fn with(options: &str) -> Outcome {
    on_library(c("process/small_program.c").build()).env("STRATALLOC", options).passes()
}

/// Asserts that stderr has exactly one line, with each of `parts` in it.
fn says_once(options: &str, parts: &[&str]) {
    let outcome = with(options);
    let err = outcome.err();
    assert_eq!(err.lines().count(), 1, "STRATALLOC={options}: {outcome}");
    for part in parts {
        assert!(err.contains(part), "STRATALLOC={options}: no `{part}` in {err}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_valid_one() {
    says_once("cuont=1", &["stratalloc", "cuont", "count"]);
    says_once("purge_dealy=100", &["purge_dealy", "purge_delay"]);
    says_once("nothing_like_it=1", &["nothing_like_it"]);
}

#[test]
fn a_bad_value_is_named_and_the_default_stands() {
    says_once("count=perhaps", &["count", "perhaps"]);
    says_once("purge_delay=soon", &["purge_delay", "soon", "default"]);
}

#[test]
fn a_value_out_of_range_is_named() {
    says_once("purge_delay=99999999999999999999999", &["purge_delay"]);
    says_once("purge_delay=-1", &["purge_delay", "-1"]);
}

#[test]
fn each_of_several_faults_is_said_once_and_good_options_take_effect() {
    let outcome = with("cuont=1,show,purge_dealy=3");
    let err = outcome.err();
    for key in ["'cuont'", "'purge_dealy'"] {
        assert_eq!(err.matches(key).count(), 1, "{key}: {outcome}");
    }
    assert!(err.contains("purge_delay"), "`show` printed no configuration: {outcome}");
}

#[test]
fn good_options_and_an_empty_variable_print_nothing() {
    for options in ["", "purge_delay=100", "count=1"] {
        let outcome = with(options);
        assert_eq!(outcome.err(), "", "STRATALLOC={options}: {outcome}");
    }
}

#[test]
fn show_prints_the_configuration_and_at_exit_the_statistics() {
    let outcome = with("show");
    let err = outcome.err();
    assert!(err.lines().count() >= 5, "{outcome}");
    assert!(err.contains("purge_delay") && err.contains("count"), "no configuration: {outcome}");
    assert!(err.contains("allocated"), "no statistics: {outcome}");
}

#[test]
fn a_variable_of_any_length_and_any_bytes_starts_the_program() {
    with(&"x=1,".repeat(5000));
    with(",,,===,,=,");
    with("\u{1}\u{7f}=\t,ä=ö");
}

#[test]
fn options_set_from_c_take_effect_and_bad_ones_are_named() {
    let outcome = on_library(c("options_typed.c").build()).passes();
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    for part in ["'limti' is unknown; did you mean 'limit'?", "limit=many", "dirty_percent=101"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}
