//! What must hold in any phase of the figure, whatever the prices: the rules of charging.md
//! section 1, link by link, in integers. Where cents are split over branches either of them may
//! get the odd one, so these are conditions and not numbers.

use std::collections::BTreeMap;

use serde_json::Value;

/// L and Lmax by link, and the sender's share.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) prices: BTreeMap<&'static str, (u64, u64)>,
    pub(crate) fraction_ppm: u64,
    /// As the demo prints it.
    pub(crate) fraction: &'static str,
}

impl Terms {
    /// The figure's own.
    pub(crate) fn golden() -> Terms {
        let prices = [
            ("S->IS1", (0, 0)),
            ("IS1->IS2", (100, 120)),
            ("IS2->IS3", (60, 70)),
            ("IS2->R1", (40, 80)),
            ("IS3->R2", (50, 60)),
        ];
        Terms { prices: prices.into_iter().collect(), fraction_ppm: 300_000, fraction: "3/10" }
    }

    /// The same with another price for a link; the highest price rises with it.
    pub(crate) fn with(mut self, link: &'static str, price: u64) -> Terms {
        let max = self.prices[link].1.max(price);
        self.prices.insert(link, (price, max));
        self
    }
}

/// The links below the far end of a link.
fn below(link: &str) -> &'static [&'static str] {
    match link {
        "S->IS1" => &["IS1->IS2"],
        "IS1->IS2" => &["IS2->IS3", "IS2->R1"],
        "IS2->IS3" => &["IS3->R2"],
        _ => &[],
    }
}

/// One phase as the demo printed it.
struct Phase<'a> {
    terms: &'a Terms,
    dcpe: BTreeMap<String, &'a Value>,
    ucpe: BTreeMap<String, &'a Value>,
}

fn rows<'a>(phase: &'a Value, list: &str, turn: bool) -> BTreeMap<String, &'a Value> {
    let rows = phase[list].as_array().expect("a list of rows");
    rows.iter()
        .map(|row| {
            let (from, to) = row["link"].as_str().unwrap().split_once("->").unwrap();
            let link = if turn { format!("{to}->{from}") } else { format!("{from}->{to}") };
            (link, row)
        })
        .collect()
}

impl Phase<'_> {
    fn of_dcpe(&self, link: &str, key: &str) -> u128 {
        self.dcpe[link][key].as_u64().unwrap_or_else(|| panic!("{link}: {key}")).into()
    }

    fn of_ucpe(&self, link: &str, key: &str) -> u128 {
        self.ucpe[link][key].as_u64().unwrap_or_else(|| panic!("{link}: {key}")).into()
    }

    fn installed(&self, link: &str) -> Vec<&'static str> {
        below(link).iter().copied().filter(|below| self.ucpe.contains_key(*below)).collect()
    }

    /// S_k = ⌈r · C_k⌉.
    fn sponsored(&self, link: &str) -> u128 {
        (self.of_dcpe(link, "total_charge") * u128::from(self.terms.fraction_ppm))
            .div_ceil(1_000_000)
    }

    fn price(&self, link: &str) -> u128 {
        self.terms.prices[link].0.into()
    }

    fn check_link(&self, link: &str) {
        let total = self.of_dcpe(link, "total_charge");
        assert_eq!(self.of_dcpe(link, "local_price"), self.price(link), "{link}: L");
        assert_eq!(self.of_dcpe(link, "c") + self.price(link), total, "{link}: C = c + L");
        assert_eq!(self.of_dcpe(link, "validity_s"), 60, "{link}");
        assert_eq!(self.dcpe[link]["sender_fraction"], self.terms.fraction, "{link}");
        let children = self.installed(link);
        let parts: Vec<u128> = children.iter().map(|child| self.of_dcpe(child, "c")).collect();
        if let (Some(most), Some(least)) = (parts.iter().max(), parts.iter().min()) {
            assert_eq!(parts.iter().sum::<u128>(), total, "{link}: the shares add up to C");
            assert!(most - least <= 1, "{link}: equal shares, but {parts:?}");
        }
        for child in &children {
            let max =
                self.of_dcpe(link, "max_total_charge") + u128::from(self.terms.prices[child].1);
            assert_eq!(self.of_dcpe(child, "max_total_charge"), max, "{child}: M = M + Lmax");
        }
        self.check_payment(link, &children);
    }

    fn check_payment(&self, link: &str, children: &[&str]) {
        let total = self.of_dcpe(link, "total_charge");
        let sum = |key: &str| children.iter().map(|c| self.of_ucpe(c, key)).sum::<u128>();
        let due = total - self.sponsored(link);
        assert_eq!(self.of_ucpe(link, "debited"), due, "{link}: RP = C - S");
        let leaf = children.is_empty();
        let a = if leaf { total } else { sum("total_charge") };
        assert_eq!(self.of_ucpe(link, "total_charge"), a, "{link}: A");
        let b = sum("local_sum") + children.iter().map(|c| self.price(c)).sum::<u128>();
        assert_eq!(self.of_ucpe(link, "local_sum"), b, "{link}: B");
        assert_eq!(a - b, total, "{link}: A - B = C");
        let take: u128 = children.iter().map(|c| self.sponsored(c)).sum();
        let sp = if leaf { 0 } else { sum("sender_payment") + take - self.sponsored(link) };
        assert_eq!(self.of_ucpe(link, "sender_payment"), sp, "{link}: SP");
        let payment = if total == 0 { a - sp } else { due };
        assert_eq!(self.of_ucpe(link, "payment"), payment, "{link}: the payment");
    }

    fn check_balances(&self, balances: &Value) {
        let mut expected: BTreeMap<String, i128> = BTreeMap::new();
        for link in self.ucpe.keys() {
            let (from, to) = link.split_once("->").unwrap();
            *expected.entry(from.to_owned()).or_default() += self.price(link) as i128;
            expected.entry(to.to_owned()).or_default();
            if self.installed(link).is_empty() {
                *expected.get_mut(to).unwrap() -= self.of_ucpe(link, "debited") as i128;
            }
            if from == "S" {
                *expected.get_mut(from).unwrap() -= self.of_ucpe(link, "sender_payment") as i128;
            }
        }
        let seen: BTreeMap<String, i128> = balances
            .as_object()
            .expect("balances")
            .iter()
            .map(|(name, rate)| (name.clone(), rate.as_i64().expect("an integer").into()))
            .collect();
        assert_eq!(seen, expected, "each provider earns its prices, each end pays its payments");
        assert_eq!(seen.values().sum::<i128>(), 0, "nothing comes from nowhere");
    }
}

/// Checks one phase of the demo's output.
pub(crate) fn check(phase: &Value, terms: &Terms, receivers: &[&str]) {
    let phase_of =
        Phase { terms, dcpe: rows(phase, "DCPE", false), ucpe: rows(phase, "UCPE", true) };
    let mut links = vec!["S->IS1", "IS1->IS2"];
    if receivers.contains(&"R2") {
        links.extend(["IS2->IS3", "IS3->R2"]);
    }
    if receivers.contains(&"R1") {
        links.push("IS2->R1");
    }
    let mut sorted = links.clone();
    sorted.sort_unstable();
    assert_eq!(phase_of.dcpe.keys().collect::<Vec<_>>(), sorted);
    assert_eq!(phase_of.ucpe.keys().collect::<Vec<_>>(), sorted);
    assert_eq!(phase_of.of_dcpe("S->IS1", "total_charge"), 0);
    for link in links {
        phase_of.check_link(link);
    }
    phase_of.check_balances(&phase["balances"]);
}
