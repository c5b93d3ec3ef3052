// The examples of RFC 5545, section 3.8.5.3, all in America/New_York.

import { assertEquals } from "@std/assert";
import { readSchedule } from "../../functions/reminders/recurrence.ts";

/** What a rule yields from its start on, as `1997-09-02 09:00`. */
function expand(
  rrule: string,
  start: string,
  { count = 200, exdate = [] }: { count?: number; exdate?: string[] } = {},
): string[] {
  return readSchedule({
    rrule,
    starts_at_local: start,
    timezone: "America/New_York",
    rdate: [],
    exdate,
    cycle: null,
    shift_minutes: 0,
  }).next("1970-01-01T00:00:00Z", count).map(({ local }) => local.slice(0, 16).replace("T", " "));
}

/** Days at nine, from `1997 Sep 2 4, Oct 1`. */
function days(text: string): string[] {
  const months = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
  ];
  let [year, month] = ["", ""];
  return text.split(/[ ,]+/).flatMap((word) => {
    if (/^\d{4}$/.test(word)) year = word;
    else if (months.includes(word)) month = String(months.indexOf(word) + 1).padStart(2, "0");
    else {
      const [first, last] = word.split("-").map(Number);
      return Array.from(
        { length: (last ?? first!) - first! + 1 },
        (_, i) => `${year}-${month}-${String(first! + i).padStart(2, "0")} 09:00`,
      );
    }
    return [];
  });
}

interface Example {
  says: string;
  start?: string;
  rules: string[];
  /** All occurrences, or the first ones of a rule without end. */
  yields: string[];
  exdate?: string[];
  is_endless?: boolean;
}

const EVERY_DAY = "SU,MO,TU,WE,TH,FR,SA";

const EXAMPLES: Example[] = [
  {
    says: "daily for 10 occurrences",
    rules: ["FREQ=DAILY;COUNT=10"],
    yields: days("1997 Sep 2-11"),
  },
  {
    says: "daily until December 24, 1997",
    rules: ["FREQ=DAILY;UNTIL=19971224T000000Z"],
    yields: days("1997 Sep 2-30 Oct 1-31 Nov 1-30 Dec 1-23"),
  },
  {
    says: "every other day, forever",
    rules: ["FREQ=DAILY;INTERVAL=2"],
    yields: days("1997 Sep 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 Oct 2 4 6"),
    is_endless: true,
  },
  {
    says: "every 10 days, 5 occurrences",
    rules: ["FREQ=DAILY;INTERVAL=10;COUNT=5"],
    yields: days("1997 Sep 2 12 22 Oct 2 12"),
  },
  {
    says: "every day in January, for 3 years",
    start: "1998-01-01",
    rules: [
      `FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=${EVERY_DAY}`,
      "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
    ],
    yields: days("1998 Jan 1-31 1999 Jan 1-31 2000 Jan 1-31"),
  },
  {
    says: "weekly for 10 occurrences",
    rules: ["FREQ=WEEKLY;COUNT=10"],
    yields: days("1997 Sep 2 9 16 23 30 Oct 7 14 21 28 Nov 4"),
  },
  {
    says: "weekly until December 24, 1997",
    rules: ["FREQ=WEEKLY;UNTIL=19971224T000000Z"],
    yields: days("1997 Sep 2 9 16 23 30 Oct 7 14 21 28 Nov 4 11 18 25 Dec 2 9 16 23"),
  },
  {
    says: "every other week, forever",
    rules: ["FREQ=WEEKLY;INTERVAL=2;WKST=SU"],
    yields: days("1997 Sep 2 16 30 Oct 14 28 Nov 11 25 Dec 9 23 1998 Jan 6 20 Feb 3 17"),
    is_endless: true,
  },
  {
    says: "weekly on Tuesday and Thursday for five weeks",
    rules: [
      "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
      "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH",
    ],
    yields: days("1997 Sep 2 4 9 11 16 18 23 25 30 Oct 2"),
  },
  {
    says: "every other week on Monday, Wednesday and Friday until December 24, 1997",
    start: "1997-09-01",
    rules: ["FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR"],
    yields: days(
      "1997 Sep 1 3 5 15 17 19 29 Oct 1 3 13 15 17 27 29 31 Nov 10 12 14 24 26 28 Dec 8 10 12 22",
    ),
  },
  {
    says: "every other week on Tuesday and Thursday, for 8 occurrences",
    rules: ["FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH"],
    yields: days("1997 Sep 2 4 16 18 30 Oct 2 14 16"),
  },
  {
    says: "monthly on the first Friday for 10 occurrences",
    start: "1997-09-05",
    rules: ["FREQ=MONTHLY;COUNT=10;BYDAY=1FR"],
    yields: days("1997 Sep 5 Oct 3 Nov 7 Dec 5 1998 Jan 2 Feb 6 Mar 6 Apr 3 May 1 Jun 5"),
  },
  {
    says: "monthly on the first Friday until December 24, 1997",
    start: "1997-09-05",
    rules: ["FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR"],
    yields: days("1997 Sep 5 Oct 3 Nov 7 Dec 5"),
  },
  {
    says: "every other month on the first and last Sunday for 10 occurrences",
    start: "1997-09-07",
    rules: ["FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU"],
    yields: days("1997 Sep 7 28 Nov 2 30 1998 Jan 4 25 Mar 1 29 May 3 31"),
  },
  {
    says: "monthly on the second-to-last Monday for 6 months",
    start: "1997-09-22",
    rules: ["FREQ=MONTHLY;COUNT=6;BYDAY=-2MO"],
    yields: days("1997 Sep 22 Oct 20 Nov 17 Dec 22 1998 Jan 19 Feb 16"),
  },
  {
    says: "monthly on the third-to-the-last day, forever",
    start: "1997-09-28",
    rules: ["FREQ=MONTHLY;BYMONTHDAY=-3"],
    yields: days("1997 Sep 28 Oct 29 Nov 28 Dec 29 1998 Jan 29 Feb 26"),
    is_endless: true,
  },
  {
    says: "monthly on the 2nd and 15th for 10 occurrences",
    rules: ["FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15"],
    yields: days("1997 Sep 2 15 Oct 2 15 Nov 2 15 Dec 2 15 1998 Jan 2 15"),
  },
  {
    says: "monthly on the first and last day for 10 occurrences",
    start: "1997-09-30",
    rules: ["FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1"],
    yields: days("1997 Sep 30 Oct 1 31 Nov 1 30 Dec 1 31 1998 Jan 1 31 Feb 1"),
  },
  {
    says: "every 18 months on the 10th through 15th for 10 occurrences",
    start: "1997-09-10",
    rules: ["FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15"],
    yields: days("1997 Sep 10-15 1999 Mar 10-13"),
  },
  {
    says: "every Tuesday, every other month",
    rules: ["FREQ=MONTHLY;INTERVAL=2;BYDAY=TU"],
    yields: days("1997 Sep 2 9 16 23 30 Nov 4 11 18 25 1998 Jan 6 13 20 27 Mar 3 10 17 24 31"),
    is_endless: true,
  },
  {
    says: "yearly in June and July for 10 occurrences",
    start: "1997-06-10",
    rules: ["FREQ=YEARLY;COUNT=10;BYMONTH=6,7"],
    yields: days(
      "1997 Jun 10 Jul 10 1998 Jun 10 Jul 10 1999 Jun 10 Jul 10 2000 Jun 10 Jul 10 2001 Jun 10 Jul 10",
    ),
  },
  {
    says: "every other year on January, February and March for 10 occurrences",
    start: "1997-03-10",
    rules: ["FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3"],
    yields: days(
      "1997 Mar 10 1999 Jan 10 Feb 10 Mar 10 2001 Jan 10 Feb 10 Mar 10 2003 Jan 10 Feb 10 Mar 10",
    ),
  },
  {
    says: "every third year on the 1st, 100th and 200th day for 10 occurrences",
    start: "1997-01-01",
    rules: ["FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200"],
    yields: days(
      "1997 Jan 1 Apr 10 Jul 19 2000 Jan 1 Apr 9 Jul 18 2003 Jan 1 Apr 10 Jul 19 2006 Jan 1",
    ),
  },
  {
    says: "every 20th Monday of the year, forever",
    start: "1997-05-19",
    rules: ["FREQ=YEARLY;BYDAY=20MO"],
    yields: days("1997 May 19 1998 May 18 1999 May 17"),
    is_endless: true,
  },
  {
    says: "Monday of week number 20, forever",
    start: "1997-05-12",
    rules: ["FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO"],
    yields: days("1997 May 12 1998 May 11 1999 May 17"),
    is_endless: true,
  },
  {
    says: "every Thursday in March, forever",
    start: "1997-03-13",
    rules: ["FREQ=YEARLY;BYMONTH=3;BYDAY=TH"],
    yields: days("1997 Mar 13 20 27 1998 Mar 5 12 19 26 1999 Mar 4 11 18 25"),
    is_endless: true,
  },
  {
    says: "every Thursday, but only during June, July and August, forever",
    start: "1997-06-05",
    rules: ["FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8"],
    yields: days(
      "1997 Jun 5 12 19 26 Jul 3 10 17 24 31 Aug 7 14 21 28 " +
        "1998 Jun 4 11 18 25 Jul 2 9 16 23 30 Aug 6 13 20 27 " +
        "1999 Jun 3 10 17 24 Jul 1 8 15 22 29 Aug 5 12 19 26",
    ),
    is_endless: true,
  },
  {
    says: "every Friday the 13th, forever",
    rules: ["FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13"],
    exdate: ["1997-09-02T09:00:00"],
    yields: days("1998 Feb 13 Mar 13 Nov 13 1999 Aug 13 2000 Oct 13"),
    is_endless: true,
  },
  {
    says: "the first Saturday that follows the first Sunday of the month, forever",
    start: "1997-09-13",
    rules: ["FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13"],
    yields: days("1997 Sep 13 Oct 11 Nov 8 Dec 13 1998 Jan 10 Feb 7 Mar 7 Apr 11 May 9 Jun 13"),
    is_endless: true,
  },
  {
    says: "every 4 years, the first Tuesday after a Monday in November, forever",
    start: "1996-11-05",
    rules: ["FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8"],
    yields: days("1996 Nov 5 2000 Nov 7 2004 Nov 2"),
    is_endless: true,
  },
  {
    says: "the third instance of Tuesday, Wednesday or Thursday, for the next 3 months",
    start: "1997-09-04",
    rules: ["FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3"],
    yields: days("1997 Sep 4 Oct 7 Nov 6"),
  },
  {
    says: "the second-to-last weekday of the month",
    start: "1997-09-29",
    rules: ["FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2"],
    yields: days("1997 Sep 29 Oct 30 Nov 27 Dec 30 1998 Jan 29 Feb 26 Mar 30"),
    is_endless: true,
  },
  {
    // The RFC writes UNTIL=19970902T170000Z, which is 13:00 there, and means 17:00.
    says: "every 3 hours from 9:00 to 17:00 on a day",
    rules: ["FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z"],
    yields: ["09:00", "12:00", "15:00"].map((time) => `1997-09-02 ${time}`),
  },
  {
    says: "the same, as it is written",
    rules: ["FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z"],
    yields: ["09:00", "12:00"].map((time) => `1997-09-02 ${time}`),
  },
  {
    says: "every 15 minutes for 6 occurrences",
    rules: ["FREQ=MINUTELY;INTERVAL=15;COUNT=6"],
    yields: ["09:00", "09:15", "09:30", "09:45", "10:00", "10:15"]
      .map((time) => `1997-09-02 ${time}`),
  },
  {
    says: "every hour and a half for 4 occurrences",
    rules: ["FREQ=MINUTELY;INTERVAL=90;COUNT=4"],
    yields: ["09:00", "10:30", "12:00", "13:30"].map((time) => `1997-09-02 ${time}`),
  },
  {
    says: "every 20 minutes from 9:00 to 16:40 every day",
    rules: [
      "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
      "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
    ],
    yields: ["1997-09-02", "1997-09-03"].flatMap((day) =>
      Array.from({ length: 24 }, (_, i) => {
        const hour = String(9 + Math.floor(i / 3)).padStart(2, "0");
        return `${day} ${hour}:${["00", "20", "40"][i % 3]}`;
      })
    ),
    is_endless: true,
  },
  {
    says: "a week that begins on Monday",
    start: "1997-08-05",
    rules: ["FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO"],
    yields: days("1997 Aug 5 10 19 24"),
  },
  {
    says: "a week that begins on Sunday",
    start: "1997-08-05",
    rules: ["FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU"],
    yields: days("1997 Aug 5 17 19 31"),
  },
  {
    says: "a day that a month does not have is left out",
    start: "2007-01-15",
    rules: ["FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5"],
    yields: days("2007 Jan 15 30 Feb 15 Mar 15 30"),
  },
];

for (const { says, start = "1997-09-02", rules, yields, exdate, is_endless } of EXAMPLES) {
  Deno.test(`RFC 5545, 3.8.5.3: ${says}`, () => {
    for (const rule of rules) {
      const count = is_endless ? yields.length : undefined;
      assertEquals(expand(rule, `${start}T09:00:00`, { count, exdate }), yields, rule);
    }
  });
}
