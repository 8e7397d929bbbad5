#include "forecast_io/calendar_file.hpp"

#include <gmock/gmock.h>

#include <sstream>

namespace umbra::forecast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr UnixMillis kHour = 3'600'000, kDay = 24 * kHour;
constexpr UnixMillis kMay = 1'777'593'600'000;   // 2026-05-01T00:00:00Z, by `date`, as all numbers here
constexpr UnixMillis kFrom = 0, kTo = 2 * kMay;  // 1970 to 2082
constexpr UnixMillis kSep2 = 873'205'200'000;    // 1997-09-02 09:00 EDT, the start of RFC 5545's examples

Result<Calendar> read(const std::string& text, UnixMillis from = kFrom, UnixMillis to = kTo,
                      const TimeZone& zone = {}) {
  std::istringstream in(text);
  return read_calendar(in, "C.ics", {from, to, zone});
}

/// A calendar of one event with these lines.
std::string event(const std::string& lines) {
  return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n" + lines + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
}

std::vector<Event> events(const std::string& text, UnixMillis from = kFrom, UnixMillis to = kTo) {
  const auto calendar = read(text, from, to);
  EXPECT_TRUE(calendar) << text << calendar.error().text();
  return calendar ? calendar->events : std::vector<Event>{};
}

testing::Matcher<const Event&> is(const std::string& name, UnixMillis start, UnixMillis end) {
  return testing::AllOf(testing::Field(&Event::name, name), testing::Field(&Event::start, start),
                        testing::Field(&Event::end, end));
}

TEST(CalendarFile, ICalendarHasDatesTimesZonesAndDurations) {
  EXPECT_THAT(events(event("SUMMARY:Labour Day\r\nDTSTART;VALUE=DATE:20260501")),
              ElementsAre(is("Labour Day", kMay, kMay + kDay)));
  EXPECT_THAT(events(event("SUMMARY:Trip\nDTSTART;VALUE=DATE:20260501\nDTEND;VALUE=DATE:20260503")),
              ElementsAre(is("Trip", kMay, kMay + 2 * kDay)));
  EXPECT_THAT(events(event("SUMMARY:a\nDTSTART:20260501T010000Z\nDTEND:20260501T023000Z")),
              ElementsAre(is("a", kMay + kHour, kMay + 2 * kHour + kHour / 2)));
  EXPECT_THAT(events(event("SUMMARY:b\nDTSTART;TZID=Europe/Berlin:20260501T020000\nDURATION:PT1H30M")),
              ElementsAre(is("b", kMay, kMay + kHour + kHour / 2)));
  EXPECT_THAT(events(event("SUMMARY:c\nDTSTART;TZID=\"America/New_York\":19970902T090000\nDURATION:P1W")),
              ElementsAre(is("c", kSep2, kSep2 + 7 * kDay)));
  EXPECT_THAT(events(event("SUMMARY:d\nDTSTART:20260501T000000\nDURATION:P1DT2H")),
              ElementsAre(is("d", kMay, kMay + 26 * kHour)))
      << "no zone is UTC unless the caller says otherwise";
}

TEST(CalendarFile, FloatingTimesAreInTheCallersZone) {
  const auto berlin = TimeZone::load("Europe/Berlin").value();
  const auto day = read(event("SUMMARY:Labour Day\nDTSTART;VALUE=DATE:20260501"), kFrom, kTo, berlin);
  EXPECT_THAT(day->events, ElementsAre(is("Labour Day", kMay - 2 * kHour, kMay + 22 * kHour)));
  const auto row = read("name,start,end\nLabour Day,2026-05-01,\n", kFrom, kTo, berlin);
  EXPECT_THAT(row->events, ElementsAre(is("Labour Day", kMay - 2 * kHour, kMay + 22 * kHour)));
}

TEST(CalendarFile, FoldedAndEscapedTextIsPutTogether) {
  // RFC 5545, 3.1 and 3.3.11
  EXPECT_THAT(
      events(event(
          "SUMM\r\n ARY:Proj\r\n ect XYZ Fi\r\n\tnal Review\\, Conference\\; Room\\n3B \\\\\r\nDTSTART:20260501")),
      ElementsAre(is("Project XYZ Final Review, Conference; Room 3B \\", kMay, kMay + kDay)));
}

TEST(CalendarFile, RecurringEventsKeepTheirTimeOfDayWhenClocksChange) {
  // RFC 5545, 3.8.5.3: "Daily until December 24, 1997"; summer time ends on 26 October.
  const auto daily =
      events(event("SUMMARY:x\nDTSTART;TZID=America/New_York:19970902T090000\nDURATION:PT1H\n"
                   "RRULE:FREQ=DAILY;UNTIL=19971224T000000Z"));
  ASSERT_THAT(daily, SizeIs(29 + 31 + 30 + 23));
  EXPECT_EQ(daily[0].start, kSep2);
  EXPECT_EQ(daily[53].start, kSep2 + 53 * kDay) << "25 October, EDT";
  EXPECT_EQ(daily[54].start, kSep2 + 54 * kDay + kHour) << "26 October, EST";
  // "Weekly on Tuesday and Thursday for five weeks"
  EXPECT_THAT(events(event("SUMMARY:x\nDTSTART;TZID=America/New_York:19970902T090000\n"
                           "RRULE:FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH")),
              SizeIs(10));
  // "Every day in January, for 3 years"
  EXPECT_THAT(events(event("SUMMARY:x\nDTSTART;TZID=America/New_York:19980101T090000\n"
                           "RRULE:FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1")),
              SizeIs(93));
}

TEST(CalendarFile, AnEventForEverEndsWithTheWindow) {
  const auto text = event("SUMMARY:Christmas\nDTSTART;VALUE=DATE:19001225\nRRULE:FREQ=YEARLY");
  const auto found = events(text, kMay, kMay + 800 * kDay);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].start, kMay + 238 * kDay) << "2026-12-25";
  EXPECT_EQ(found[1].start, kMay + (238 + 365) * kDay);
  EXPECT_THAT(read(text, kMay, kMay + kDay)->notices,
              ElementsAre(HasSubstr("no event from 2026-05-01T00:00:00Z to 2026")));
}

TEST(CalendarFile, ExceptionsReplacementsAndCancelledEventsAreHeeded) {
  const std::string daily = "UID:1\nSUMMARY:x\nDTSTART:20260501T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4\n";
  EXPECT_THAT(events(event(daily + "EXDATE:20260502T000000Z,20260504T000000Z")),
              ElementsAre(is("x", kMay, kMay + kHour), is("x", kMay + 2 * kDay, kMay + 2 * kDay + kHour)));
  EXPECT_THAT(events(event(daily + "EXDATE;VALUE=DATE:20260501")), SizeIs(3));
  EXPECT_THAT(events(event(daily + "STATUS:CANCELLED")), IsEmpty());
  const auto moved = events(event(daily + "END:VEVENT\nBEGIN:VEVENT\nUID:1\nSUMMARY:y\nRECURRENCE-ID:20260502T000000Z\n"
                                          "DTSTART:20260502T050000Z\nDURATION:PT1H"));
  ASSERT_THAT(moved, SizeIs(4));
  EXPECT_THAT(moved[1], is("y", kMay + kDay + 5 * kHour, kMay + kDay + 6 * kHour));
}

TEST(CalendarFile, AlarmsAndOtherComponentsAreNoEvents) {
  EXPECT_THAT(
      events("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:x\nBEGIN:STANDARD\nDTSTART:19701025T030000\n"
             "RRULE:FREQ=YEARLY;BYSETPOS=1\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VEVENT\nSUMMARY:a\n"
             "DTSTART:20260501\nBEGIN:VALARM\nDURATION:PT5M\nSUMMARY:b\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n"),
      ElementsAre(is("a", kMay, kMay + kDay)));
}

TEST(CalendarFile, CsvNamesStartsAndEnds) {
  EXPECT_THAT(events("start,end,name\n2026-05-01T01:00Z,2026-05-01T03:00+01:00,\"Backup, full\"\n2026-05-02,,Sale\n"
                     "2026-05-03,2026-05-03,Sale\n2026-05-04,2026-05-06,Sale\n"),
              ElementsAre(is("Backup, full", kMay + kHour, kMay + 2 * kHour), is("Sale", kMay + kDay, kMay + 2 * kDay),
                          is("Sale", kMay + 2 * kDay, kMay + 3 * kDay), is("Sale", kMay + 3 * kDay, kMay + 5 * kDay)));
  const auto steps = read("name,start,end\nx,3,5\n", 0, 100);
  EXPECT_EQ(steps->kind, TimeKind::kSteps);
  EXPECT_THAT(steps->events, ElementsAre(is("x", 3, 5)));
}

TEST(CalendarFile, BadCalendarsAreRefusedWithLineCauseAndRemedy) {
  struct Case {
    std::string text;
    const char *cause, *remedy;
  };
  const std::string start = "DTSTART:20260501T000000Z\n";
  const Case cases[] = {
      {"", "C.ics: the file is empty", "BEGIN:VCALENDAR"},
      {"hello\n", "C.ics:1: 'hello' is not how a calendar begins", "name,start,end"},
      {"name,start,end\nx,2026-05-02,2026-05-01\n", "C.ics:2: the event ends before it begins", "exchange"},
      {"name,start,end\nx,2026-05-02T00:00Z,\n", "C.ics:2: the event has no end", "date alone"},
      {"name,start,end\nx,soon,2026-05-01\n", "C.ics:2: 'soon' is not a time", "2026-05-01"},
      {"name,start,end\n,2026-05-01,\n", "C.ics:2: the event has no name", "name it"},
      {"name,start,end\nx,2026-05-01\n", "C.ics:2: 2 columns instead of 3", "name,start,end"},
      {"BEGIN:VCALENDAR\nBEGIN:VEVENT\n" + start, "C.ics:3: the file ends within VEVENT", "end is missing"},
      {"BEGIN:VCALENDAR\nEND:VEVENT\n", "C.ics:2: END:VEVENT without its BEGIN", "mixed up"},
      {"BEGIN:VCALENDAR\nwhat is this\n", "C.ics:2: 'what is this' is not a line of a calendar", "SUMMARY"},
      {"BEGIN:VCALENDAR\nX;Y:1\n", "C.ics:2: a parameter of X has no value", "DTSTART;TZID"},
      {"BEGIN:VCALENDAR\nX;Y=\"1:2\n", "C.ics:2: a quote is not closed", "DTSTART;TZID"},
      {event("SUMMARY:x"), "C.ics:3: an event without DTSTART", "when it begins"},
      {event("DTSTART:tomorrow"), "C.ics:4: DTSTART: 'tomorrow' is not a time", "20260501"},
      {event("DTSTART:20260230"), "C.ics:4: DTSTART: '20260230' is not a time", "20260501"},
      {event(start + start), "C.ics:5: a second DTSTART", "remove"},
      {event("DTSTART;TZID=Mars/Base:20260501T000000"), "C.ics:4: TZID 'Mars/Base'", "Europe/Berlin"},
      {event(start + "DTEND:20260430T000000Z"), "C.ics:3: an event that ends before it begins", "exchange"},
      {event(start + "DTEND:20260502"), "C.ics:3: one of DTSTART and DTEND is a date", "alike"},
      {event(start + "DTEND:20260502T000000Z\nDURATION:P1D"), "C.ics:3: an event with both", "remove"},
      {event(start + "DURATION:-PT1H"), "C.ics:5: '-PT1H' is not a duration", "PT1H30M"},
      {event(start + "DURATION:PT1"), "C.ics:5: 'PT1' is not a duration", "PT1H30M"},
      {event(start + "X-A:1\n folded\nRRULE:FREQ=DAILY;BYSETPOS=-1"), "C.ics:7: RRULE: BYSETPOS is not supported",
       "one by one"},
      {event(start + "RDATE:20260503T000000Z"), "C.ics:5: RDATE is not supported", "events of their own"},
      {event(start + "RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY"), "C.ics:6: a second RRULE", "of its own"},
  };
  for (const auto& [text, cause, remedy] : cases) {
    const auto calendar = read(text);
    ASSERT_FALSE(calendar) << text;
    EXPECT_THAT(calendar.error().message, HasSubstr(cause)) << text;
    EXPECT_THAT(calendar.error().remedy, HasSubstr(remedy)) << text;
  }
}

TEST(EventColumns, HoldTheShareOfEachStepThatEventsCover) {
  Calendar calendar;
  calendar.events = {{"a", 0, 500}, {"a", 250, 1500}, {"b", 2000, 3000}, {"a", 2900, 9999}, {"none", 100, 100}};
  const auto columns = event_columns(calendar, TimeKind::kEpoch, Steps(0, Milliseconds(1000)), 4).value();
  EXPECT_THAT(columns.names, ElementsAre("a", "other events"));
  EXPECT_EQ(columns.known().width, 2U);
  EXPECT_THAT(columns.rows, ElementsAre(1, 0, 0.5, 0, testing::DoubleNear(0.1, 1e-12), 1, 1, 0));
}

TEST(EventColumns, AreCappedAndTheRestIsPooled) {
  Calendar calendar;
  for (const auto* name : {"b", "a", "c", "c", "a", "b", "c", "d"}) {
    const auto at = static_cast<UnixMillis>(calendar.events.size());
    calendar.events.push_back({name, at, at + 1});
  }
  const auto names = [&](std::size_t most) {
    return event_columns(calendar, TimeKind::kIso, Steps(0, Milliseconds(1)), 8, most).value().names;
  };
  EXPECT_THAT(names(8), ElementsAre("c", "a", "b", "other events"));
  EXPECT_THAT(names(3), ElementsAre("c", "a", "other events"));
  EXPECT_THAT(names(1), ElementsAre("other events"));
  EXPECT_THAT(event_columns({}, TimeKind::kIso, Steps(0, Milliseconds(1)), 8).value().names, IsEmpty());
}

TEST(EventColumns, OfTimesDoNotFitASeriesOfStepNumbers) {
  const auto columns = event_columns({"C.ics", TimeKind::kIso, {}, {}}, TimeKind::kSteps, Steps(), 3);
  EXPECT_THAT(columns.error().message, HasSubstr("C.ics: one of its events and the series"));
}

}  // namespace
}  // namespace umbra::forecast
