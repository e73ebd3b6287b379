//! `terang plan`: the report, JSON, launch files, the page, and wrong input.

use crate::support::Place;

const GROK: [&str; 9] = [
    "plan", "--gpu", "h100", "--gpus", "10000", "--model", "grok-1", "--tokens", "10T",
];

#[test]
fn a_run_is_planned_in_text_and_json() {
    let place = Place::new();
    let report = place.run(&GROK);
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    for part in [
        "layout",
        "Memory of the fullest GPU",
        "Other layouts",
        "USD",
        "EU AI Act",
    ] {
        assert!(
            report.stdout.contains(part),
            "{part} is missing: {}",
            report.stdout
        );
    }
    let json = place.run(&[&GROK[..], &["--json"]].concat());
    let plan: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(plan["days"].as_f64().unwrap() > 1.0);
    assert!(
        plan["found"]["best"]["memory"]["total_gib"]
            .as_f64()
            .unwrap()
            < 79.2
    );
}

#[test]
fn pins_hold_and_launch_files_have_them() {
    let place = Place::new();
    let pinned = [&GROK[..], &["--fix", "tp=8,pp=16", "--emit", "slurm"]].concat();
    let script = place.run(&pinned);
    assert_eq!(script.code, Some(0), "{}", script.stderr);
    for part in [
        "#!/bin/bash",
        "--tensor-model-parallel-size 8 --pipeline-model-parallel-size 16",
        "#SBATCH --gres=gpu:h100:8",
    ] {
        assert!(
            script.stdout.contains(part),
            "{part} is missing: {}",
            script.stdout
        );
    }
}

#[test]
fn the_page_is_whole_and_asks_nothing_of_the_network() {
    let place = Place::new();
    let page = place.path("plan.html");
    let done = place.run(&[&GROK[..], &["--html", page.to_str().unwrap()]].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    assert!(html.matches("<svg").count() >= 5 && !html.contains("NaN"));
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("<script"));
}

#[test]
fn wrong_input_is_one_line_and_2() {
    let place = Place::new();
    for (arguments, part) in [
        (
            &[
                "plan", "--gpu", "h10", "--model", "grok-1", "--tokens", "1T",
            ][..],
            "did you mean \"h100\"",
        ),
        (
            &["plan", "--model", "grk", "--tokens", "1T"],
            "did you mean \"grok-1\"",
        ),
        (
            &["plan", "--model", "grok-1", "--tokens", "1T"],
            "does not fit on 8 H100",
        ),
        (
            &[
                "plan",
                "--model",
                "llama3-8b",
                "--tokens",
                "1T",
                "--gpus",
                "0",
            ],
            "gpus",
        ),
        (
            &[
                "plan",
                "--model",
                "llama3-8b",
                "--tokens",
                "1T",
                "--network",
                "400",
            ],
            "give it a unit",
        ),
        (
            &[
                "plan",
                "--model",
                "llama3-8b",
                "--tokens",
                "1T",
                "--fix",
                "tp=16",
            ],
            "take 16 GPUs",
        ),
        (&["plan", "--file", "nowhere.toml"], "cannot be read"),
        (&["plan", "validate", "nowhere.csv"], "cannot be read"),
        (
            &["plan", "serve", "--model", "grok-1", "--people=0"],
            "people",
        ),
    ] {
        let outcome = place.run(arguments);
        outcome.fails(2, part);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn rows_of_a_file_are_predicted_or_say_why_not() {
    let place = Place::new();
    let file = place.path("rows.csv");
    std::fs::write(
        &file,
        "id,group,gpu_kind,model,n_gpus,tp,pp,micro_batch,global_batch,seq,layers,hidden,ffn,heads,step_time_s\n\
         a,mine,A100-80GB,GPT,8,1,1,1,8,2048,24,2048,8192,16,0.5\n\
         b,mine,A100-80GB,GPT,8,1,1,1,8,2048,,,,,0.5\n",
    )
    .unwrap();
    let done = place.run(&["plan", "validate", file.to_str().unwrap(), "--json"]);
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["error_pct"].is_f64() && rows[0]["reason"].is_null());
    assert!(rows[1]["predicted"].is_null() && rows[1]["reason"].is_string());
}
