//! A day of fifty routers with congestion prices: `day [SVG]` prints what every hour came to, and
//! draws it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lcm_tests::day;

/// Plays a day of fifty routers with congestion prices, and receivers that look at prices.
#[derive(Debug, Parser)]
#[command(name = "day")]
struct Arguments {
    /// Feeds every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hour of the day to begin at.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// So many hours.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Where to draw it, as SVG.
    picture: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { seed, from, hours, picture } = Arguments::parse();
    let day = day::play(seed, from, hours);
    println!("hour  price  wanting  reserved   messages");
    for sample in day.samples.iter().skip(11).step_by(12) {
        let day::Sample { minute, price, wanting, reserved, messages } = *sample;
        println!("{:>4}  {price:>5}  {wanting:>7}  {reserved:>8}  {messages:>9}", minute / 60);
    }
    println!("changes of the price on the first trunk: {}", day.changes);
    if let Some(file) = picture
        && let Err(error) = day.draw(&file)
    {
        eprintln!("day: {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
