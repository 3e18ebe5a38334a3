//! Mistakes on the command line, as the program reports them.

use crate::harness::program::Launch;

const URL: &str = "https://abc.execute-api.us-east-1.amazonaws.com/prod/mcp";

/// The errors of these arguments, without what all of them begin with.
fn errors(arguments: &[&str]) -> Vec<String> {
    let ended = Launch::bare(arguments).run("");
    assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.log);
    let error = |line: &str| line.replacen("ERROR: configuration error: ", "", 1);
    ended.log.lines().map(error).collect()
}

#[test]
fn words_that_are_left_over_are_named_with_what_was_meant() {
    for (arguments, expected) in [
        (
            &[URL, "--profile=dev", "prod"][..],
            "left over after --profile: prod (write --profile before each value, or quote a value that contains spaces)",
        ),
        (
            &["doctor", "--region=us-east-1", "eu-west-1", URL],
            "left over after --region: eu-west-1 (--region takes one value: quote it if it contains spaces, or remove the rest)",
        ),
        (
            &[URL, "--header=X-Key: Bearer", "hush", "hush"],
            "left over after --header: 2 words that are not shown (write --header before each value, or quote a value that contains spaces)",
        ),
        (&[URL, "--lazy", "false"], "left over after --lazy: false (write --lazy=false)"),
        (&["docter", URL], "not understood: docter (did you mean doctor?)"),
        (&["login", "dev"], "not understood: dev (remove it, or write --profile before it)"),
    ] {
        assert_eq!(errors(arguments), [expected], "{arguments:?}");
    }
}

#[test]
fn one_mistake_is_one_line() {
    for (arguments, expected) in [
        (
            &[URL, "--metadata", "AWS_REGION", "eu-west-1"][..],
            "an entry of --metadata is not NAME=VALUE (write AWS_REGION=VALUE)",
        ),
        (
            &[URL, "--header", "hush", "hush"],
            "--header has a header without a value (write --header \"NAME: VALUE\" or --header NAME=VALUE)",
        ),
        (
            &["https://mcp.example.com", "--service=s3", "--profile=nope"],
            "region is required, and the profile cannot be read: profile \"nope\" could not be found in ~/.aws/config or \
             ~/.aws/credentials",
        ),
    ] {
        let errors = errors(arguments);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{arguments:?}: {errors:?}");
    }
}
