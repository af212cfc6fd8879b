//! When a schedule is due, compared with the crate `croner`, and around each change of the clocks
//! with a search through every minute.

use croner::Cron;
use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use supaqueue_tests::{Db, seed};

/// Zones whose clocks change, by half an hour, at midnight and in other odd ways, too.
const ZONES: [&str; 11] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Beirut",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Chatham",
];
const DAY: i64 = 24 * 60;
/// 2020-01-01 and 2031-01-01, in minutes since 1970, as all times here.
const BEGIN: i64 = 18262 * DAY;
const END: i64 = 22280 * DAY;

/// A zone as Postgres has it.
struct Zone {
    name: &'static str,
    /// The offset from each time on, in order.
    offsets: Vec<(i64, i64)>,
}

impl Zone {
    async fn read(db: &Db, name: &'static str) -> Self {
        let offset = |time: &str| {
            format!("extract(epoch from {time} at time zone '{name}' - {time} at time zone 'UTC')")
        };
        let rows = db
            .get(&format!(
                "with day as (
                   select d.at, {of_day} as seconds from generate_series('2019-12-01'::timestamptz, '2031-02-01', '1 day') d (at)
                 ), change as (
                   select d.at from (select at, seconds, lead(seconds) over (order by at) as next from day) d where seconds <> next
                 ), minute as (
                   select m.at, {of_minute} as seconds from change c, generate_series(c.at, c.at + interval '1 day', '1 minute') m (at)
                 ), time as (select * from day where at < '2019-12-02' union all select * from minute),
                 numbered as (select at, seconds, lag(seconds) over (order by at) as before from time)
                 select (extract(epoch from at) / 60)::bigint || ' ' || (seconds / 60)::bigint
                 from numbered where before is distinct from seconds order by at",
                of_day = offset("d.at"),
                of_minute = offset("m.at"),
            ))
            .await;
        let offsets = rows
            .lines()
            .map(|row| {
                let (at, offset) = row.split_once(' ').unwrap();
                (at.parse().unwrap(), offset.parse().unwrap())
            })
            .collect();
        Self { name, offsets }
    }

    fn offset(&self, at: i64) -> i64 {
        let after = self.offsets.partition_point(|(from, _)| *from <= at);
        self.offsets[after - 1].1
    }

    fn changes(&self) -> impl Iterator<Item = i64> {
        let changes = self.offsets[1..].iter().map(|(at, _)| *at);
        changes.filter(|at| (BEGIN..END).contains(at))
    }

    /// The times from `begin` to `end`: each minute is looked at.
    fn times(&self, cron: &Expression, begin: i64, end: i64) -> Vec<i64> {
        let mut times = Vec::new();
        let start = begin - 2 * DAY;
        let mut seen = start + self.offset(start);
        for at in start + 1..end {
            let local = at + self.offset(at);
            let is_due = if cron.goes_by_elapsed_time {
                cron.matches(local)
            } else {
                // What the clocks have skipped is due now; what has been is over.
                let is_due = (seen + 1..=local).any(|local| cron.matches(local));
                seen = seen.max(local);
                is_due
            };
            if is_due && at >= begin {
                times.push(at);
            }
        }
        times
    }
}

/// A cron expression, and what it means.
#[derive(Debug)]
struct Expression {
    fields: [String; 5],
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    goes_by_elapsed_time: bool,
}

/// Text and bits of one item of a field.
fn item(random: &mut Rng, low: u64, high: u64, names: &[&str]) -> (String, u64) {
    let write = |random: &mut Rng, value: u64| match names.get((value - low) as usize) {
        Some(name) if random.bool() => (*name).to_owned(),
        _ => value.to_string(),
    };
    let first = random.u64(low..=high);
    let last = random.u64(first..=high);
    let step = random.u64(1..=(high - low).min(20));
    let bits = |first: u64, last: u64, step: usize| {
        (first..=last).step_by(step).map(|value| 1 << value).sum()
    };
    match random.u8(..6) {
        0 => (format!("*/{step}"), bits(low, high, step as usize)),
        // croner takes sun-sun for the whole week.
        1 if first < last => {
            let text = format!("{}-{}", write(random, first), write(random, last));
            (text, bits(first, last, 1))
        }
        2 => (
            format!("{first}-{last}/{step}"),
            bits(first, last, step as usize),
        ),
        _ => (write(random, first), 1 << first),
    }
}

fn field(random: &mut Rng, low: u64, high: u64, names: &[&str]) -> (String, u64) {
    if random.u8(..5) < 2 {
        return ("*".into(), (low..=high).map(|value| 1 << value).sum());
    }
    let items: Vec<_> = (0..random.usize(1..=2))
        .map(|_| item(random, low, high, names))
        .collect();
    let texts: Vec<_> = items.iter().map(|(text, _)| text.as_str()).collect();
    (
        texts.join(","),
        items.iter().fold(0, |all, (_, bits)| all | bits),
    )
}

impl Expression {
    fn new(fields: [(String, u64); 5]) -> Self {
        let [minutes, hours, days, months, weekdays] = [0, 1, 2, 3, 4].map(|i| fields[i].1);
        let fields = fields.map(|(text, _)| text);
        Self {
            goes_by_elapsed_time: fields[0].starts_with('*') || fields[1].starts_with('*'),
            fields,
            minutes,
            hours,
            days,
            months,
            weekdays: weekdays | weekdays >> 7,
        }
    }

    fn random(random: &mut Rng) -> Self {
        let months = [
            "jan", "feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "Oct", "nov", "dec",
        ];
        let weekdays = ["sun", "mon", "tue", "Wed", "thu", "fri", "sat"];
        Self::new([
            field(random, 0, 59, &[]),
            field(random, 0, 23, &[]),
            field(random, 1, 31, &[]),
            field(random, 1, 12, &months),
            field(random, 0, 7, &weekdays),
        ])
    }

    /// Of minutes and hours on each day.
    fn daily(minutes: (&str, u64), hours: (&str, u64)) -> Self {
        let any = || ("*".to_owned(), u64::MAX);
        let [minutes, hours] = [minutes, hours].map(|(text, bits)| (text.to_owned(), bits));
        Self::new([minutes, hours, any(), any(), any()])
    }

    fn text(&self) -> String {
        self.fields.join(" ")
    }

    /// As croner reads it: there, only a field that is no more than `*` leaves the day to the other one.
    fn for_croner(&self) -> String {
        let mut fields = self.fields.clone();
        let is_both = |days: &str| days.starts_with('*') && days != "*";
        if is_both(&fields[2]) || is_both(&fields[4]) {
            fields[4].insert(0, '+');
        }
        fields.join(" ")
    }

    fn matches(&self, local: i64) -> bool {
        let has = |bits: u64, value: i64| bits >> value & 1 == 1;
        if !has(self.minutes, local % 60) || !has(self.hours, local / 60 % 24) {
            return false;
        }
        let date = Timestamp::from_second(local * 60)
            .unwrap()
            .to_zoned(TimeZone::UTC)
            .date();
        let day = has(self.days, date.day().into());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset().into());
        let is_one_enough = !self.fields[2].starts_with('*') && !self.fields[4].starts_with('*');
        has(self.months, date.month().into())
            && if is_one_enough {
                day || weekday
            } else {
                day && weekday
            }
    }
}

fn show(at: Option<i64>) -> String {
    at.map_or("never".into(), |at| {
        Timestamp::from_second(at * 60).unwrap().to_string()
    })
}

/// What the database says: the first time after each.
async fn next_times(db: &Db, cases: &[(Expression, usize, i64)]) -> Vec<Option<i64>> {
    let rows: Vec<_> = cases
        .iter()
        .map(|(cron, zone, after)| format!("('{}', '{}', {after})", cron.text(), ZONES[*zone]))
        .collect();
    let sql = format!(
        "select (extract(epoch from supaqueue.next_time(supaqueue.parse_cron(c.cron), null, c.zone, to_timestamp(c.after * 60))) / 60)::bigint
         from (values {}) c (cron, zone, after)",
        rows.join(", ")
    );
    let rows = db.get(&sql).await;
    rows.lines().map(|row| row.parse().ok()).collect()
}

#[tokio::test]
async fn random_expressions_are_due_when_croner_says() {
    let db = Db::new().await;
    let seed = seed("SUPAQUEUE_SCHEDULE_SEED");
    println!("SUPAQUEUE_SCHEDULE_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut zones = Vec::new();
    for name in ZONES {
        zones.push(Zone::read(&db, name).await);
    }
    let cases: Vec<_> = (0..5000)
        .map(|case| {
            let zone = random.usize(..ZONES.len());
            let changes: Vec<_> = zones[zone].changes().collect();
            // Half of them a short time before the clocks change.
            let after = match case % 2 {
                0 => random.i64(BEGIN..END),
                _ => changes[random.usize(..changes.len())] - random.i64(1..DAY),
            };
            (Expression::random(&mut random), zone, after)
        })
        .collect();
    let got = next_times(&db, &cases).await;
    let (mut same, mut different, mut other_zones) = (0, 0, 0);
    for ((cron, zone, after), got) in cases.iter().zip(got) {
        let zone = &zones[*zone];
        let context = format!(
            "{:?} in {} after {}",
            cron.text(),
            zone.name,
            show(Some(*after))
        );
        // A day that no month has: croner searches for three thousand years.
        let Some(got) = got else {
            let whole_day = Expression {
                fields: cron.fields.clone(),
                minutes: u64::MAX,
                hours: u64::MAX,
                ..*cron
            };
            let is_ever = (0..8 * 366).any(|day| whole_day.matches(BEGIN + day * DAY));
            assert!(!is_ever, "{context}: never");
            continue;
        };
        let start = Timestamp::from_second(after * 60).unwrap();
        let start = start.to_zoned(TimeZone::get(zone.name).unwrap());
        let croner: Cron = cron.for_croner().parse().unwrap();
        let want = croner.find_next_occurrence(&start, false);
        let want = want.ok().map(|at| at.timestamp().as_second() / 60);
        if want == Some(got) {
            same += 1;
            continue;
        }
        // croner takes some lists and ranges for expressions that go by elapsed time, and its zones may be of another
        // year than those of Postgres. Nothing else may make a difference, and then every minute decides.
        let begin = got.min(want.unwrap_or(got)).max(*after + 2) - 2;
        let first = zone
            .times(
                cron,
                begin.max(*after + 1),
                got.max(want.unwrap_or(got)) + 2,
            )
            .into_iter()
            .next();
        assert_eq!(
            show(Some(got)),
            show(first),
            "{context}, croner: {}",
            show(want)
        );
        let is_near = zone.changes().any(|at| (at - begin).abs() < 2 * DAY);
        let has_other_zones = [Some(got), want].into_iter().flatten().any(|at| {
            let offset = start
                .time_zone()
                .to_offset(Timestamp::from_second(at * 60).unwrap());
            i64::from(offset.seconds()) != zone.offset(at) * 60
        });
        if has_other_zones {
            other_zones += 1;
            continue;
        }
        different += 1;
        let croner = show(want);
        assert!(is_near, "{context}: {}, croner: {croner}", show(Some(got)));
    }
    println!(
        "{same} as croner says, {different} not, at a change of the clocks, {other_zones} in other zones"
    );
    assert!(
        same > 4500 && different < 100,
        "{same}, {different}, {other_zones}"
    );
}

/// Around each change from 2020 to 2030, all times of many expressions.
#[tokio::test]
async fn changes_of_the_clocks_skip_and_repeat_what_vixie_cron_does() {
    let db = Db::new().await;
    db.run(
        "create function public.times(cron text, zone text, begin bigint, until bigint) returns text language plpgsql as $$
         declare
           parsed bigint[] := supaqueue.parse_cron(cron);
           at timestamptz := to_timestamp(begin * 60) - interval '1 microsecond';
           times bigint[] := '{}';
         begin
           loop
             at := supaqueue.next_time(parsed, null, zone, at);
             exit when at >= to_timestamp(until * 60);
             times := times || (extract(epoch from at) / 60)::bigint;
           end loop;
           return array_to_string(times, ' ');
         end $$;
         create function public.last_time(cron text, zone text, known bigint, until bigint) returns bigint language sql as $$
           select extract(epoch from supaqueue.last_time(supaqueue.parse_cron(cron), null, zone, to_timestamp(known * 60), to_timestamp(until * 60)))::bigint / 60
         $$",
    )
    .await;
    let mut changes = 0;
    for name in ZONES {
        let zone = Zone::read(&db, name).await;
        let mut cases = Vec::new();
        for at in zone.changes() {
            changes += 1;
            // The hour that is skipped or repeated begins here, on the clocks before or after the change.
            let local = at + zone.offset(at - 1).min(zone.offset(at));
            let hour = local / 60 % 24;
            let minute = local % 60;
            let hours = |hours: &[i64]| {
                let text: Vec<_> = hours.iter().map(|hour| (hour % 24).to_string()).collect();
                (
                    text.join(","),
                    hours.iter().fold(0, |bits, hour| bits | 1 << (hour % 24)),
                )
            };
            let near = hours(&[hour + 23, hour, hour + 1, hour + 2]);
            let this = hours(&[hour]);
            let quarters = ("0,15,30,45", 1 | 1 << 15 | 1 << 30 | 1 << 45);
            let star_quarters = ("*/15", quarters.1);
            let of = |hours: &(String, u64)| (hours.0.clone(), hours.1);
            let mut add = |minutes: (&str, u64), hours: (String, u64)| {
                let cron = Expression::daily(minutes, (&hours.0, hours.1));
                cases.push((cron, at - DAY, at + DAY));
            };
            for minutes in [
                minute,
                (minute + 10) % 60,
                (minute + 29) % 60,
                (minute + 59) % 60,
            ] {
                let text = minutes.to_string();
                add((&text, 1 << minutes), of(&this));
                add((&text, 1 << minutes), of(&near));
                add((&text, 1 << minutes), ("*".into(), u64::MAX));
            }
            for minutes in [quarters, star_quarters] {
                add(minutes, of(&this));
                add(minutes, of(&near));
                add(minutes, ("*".into(), u64::MAX));
            }
            let even = (0..24).step_by(2).map(|hour| 1 << hour).sum();
            add(("0", 1), ("*/2".into(), even));
            add(("0", 1), ("0-23".into(), u64::MAX));
            add(("5", 1 << 5), ("0".into(), 1));
        }
        let rows: Vec<_> = cases
            .iter()
            .map(|(cron, begin, end)| format!("('{}', {begin}, {end})", cron.text()))
            .collect();
        let sql = format!(
            "select '>' || public.times(c.cron, '{name}', c.begin, c.until) from (values {}) c (cron, begin, until)",
            rows.join(", ")
        );
        for ((cron, begin, end), got) in cases.iter().zip(db.get(&sql).await.lines()) {
            let got: Vec<i64> = got[1..]
                .split_whitespace()
                .map(|at| at.parse().unwrap())
                .collect();
            let want = zone.times(cron, *begin, *end);
            let first = got.iter().zip(&want).find(|(got, want)| got != want);
            assert_eq!(
                got,
                want,
                "{:?} in {name} from {}: {:?}",
                cron.text(),
                show(Some(*begin)),
                first.map(|(got, want)| (show(Some(*got)), show(Some(*want))))
            );
        }

        // And backwards, without walking over them.
        let known: Vec<_> = cases
            .iter()
            .filter_map(|(cron, begin, end)| {
                let times = zone.times(cron, *begin, *end);
                Some((cron.text(), *times.first()?, *end - 1, *times.last()?))
            })
            .collect();
        let rows: Vec<_> = known
            .iter()
            .map(|(cron, first, end, _)| format!("('{cron}', {first}, {end})"))
            .collect();
        let sql = format!(
            "select public.last_time(c.cron, '{name}', c.first, c.until) from (values {}) c (cron, first, until)",
            rows.join(", ")
        );
        for ((cron, _, end, want), got) in known.iter().zip(db.get(&sql).await.lines()) {
            let want = show(Some(*want));
            assert_eq!(
                show(got.parse().ok()),
                want,
                "{cron:?} in {name} before {end}"
            );
        }
    }
    assert!(changes > 200, "only {changes} changes");
}
