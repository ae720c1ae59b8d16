//! `refrain demo`, literally, and the project that it leaves.

use refrain_tests::{Done, Home, program};

#[test]
fn the_demo_shows_equal_digests_and_leaves_a_project() {
    let place = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(program());
    command
        .args(["demo", "--dir", "demo"])
        .current_dir(place.path());
    let demo = Done::of(command).ok();
    assert!(demo.out.contains("mean_delay_minutes"), "{}", demo.out);
    let digest = |name: &str| {
        let line = demo.err.lines().find(|line| line.starts_with(name));
        line.unwrap().split_whitespace().last().unwrap().to_string()
    };
    assert_eq!(digest("as a batch"), digest("as a stream"));
    assert!(demo.err.contains("The digests are equal"), "{}", demo.err);

    let home = Home::at(&place.path().join("demo"));
    assert_eq!(home.digest("delays"), digest("as a batch"));
    assert_eq!(home.rows("flights"), 200_000);
    home.append("flights", "flights.parquet", "again").ok();
    home.run().ok();
    assert_eq!(home.rows("flights"), 400_000);
    let day = home.refrain(&[
        "view",
        "get",
        "delays",
        "ORD",
        "2001-01-06",
        "--output",
        "json",
    ]);
    assert_eq!(day.ok().json()[0]["origin"], "ORD");
    home.refrain(&["check"]).ok();
}
