//! What can be asked of a demo.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

/// The demos.
#[derive(Debug, Clone, Subcommand)]
pub enum Demo {
    /// The charging paper's Figure 2: one sender, three providers, two receivers.
    ///
    /// Six network namespaces, six daemons, real packets. Phase A: both receivers reserve. C: R1
    /// leaves and R2 approves the higher price. B: R1 returns on the old quote, IS2 has raised its
    /// price, R1's payment is refused, and R1 pays the new price.
    Figure2(Figure2Args),
}

/// Settings of the figure.
#[derive(Debug, Clone, Args)]
pub struct Figure2Args {
    /// Print one JSON object instead of the story.
    #[arg(long)]
    pub json: bool,
    /// Local price of a link: IS2-R1=41, in 10^-12 currency units per second. Repeatable.
    #[arg(long = "price", value_name = "LINK=RATE")]
    pub prices: Vec<LinkRate>,
    /// Highest price of a link: IS2-R1=80. Repeatable. A price above the figure's own maximum
    /// raises that maximum by itself.
    #[arg(long = "max-price", value_name = "LINK=RATE")]
    pub max_prices: Vec<LinkRate>,
    /// The sender's fraction in parts per million.
    #[arg(long, value_name = "PPM", default_value_t = 300_000,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub fraction: u32,
    /// What IS2 asks on its link to R1 when R1 returns; 60, or 20 more than a price that is
    /// higher already.
    #[arg(long, value_name = "RATE")]
    pub raised: Option<u64>,
    /// Everything over IPv6.
    #[arg(long)]
    pub ipv6: bool,
    /// Keep a capture of each link in this directory.
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<PathBuf>,
    /// Leave each node's books in DIR/NODE/ledger.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Refresh period of all daemons in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2_000,
        value_parser = clap::value_parser!(u32).range(100..=30_000))]
    pub refresh_ms: u32,
    /// For how many seconds each of the three phases is metered at least: 20 make a minute of books.
    #[arg(long, value_name = "SECONDS", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub phase_s: u32,
}

/// A rate for a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRate {
    /// Upstream end.
    pub from: String,
    /// Downstream end.
    pub to: String,
    /// In wire units.
    pub rate: u64,
}

impl FromStr for LinkRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not LINK=RATE, such as IS2-R1=41");
        let (link, rate) = text.split_once('=').ok_or_else(wrong)?;
        let (from, to) = link.split_once("->").or(link.split_once('-')).ok_or_else(wrong)?;
        let rate = rate.parse().map_err(|_| {
            format!("{rate:?} in {text:?} is not a whole number from 0 to {}", u64::MAX)
        })?;
        Ok(Self { from: from.to_owned(), to: to.to_owned(), rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_rates_are_read() {
        let rate: LinkRate = "IS2-R1=41".parse().unwrap();
        assert_eq!((rate.from.as_str(), rate.to.as_str(), rate.rate), ("IS2", "R1", 41));
        assert_eq!("IS2->R1=41".parse::<LinkRate>().unwrap(), rate);
        assert!("IS2-R1=-4".parse::<LinkRate>().unwrap_err().contains("-4"));
        assert!("IS2=4".parse::<LinkRate>().unwrap_err().contains("IS2=4"));
    }
}
