using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Xml;
using System.Xml.Linq;

namespace KantaGateway.Harness.Verification;

/// <summary>A verification as files. Pure; what is secret or personal was left out before.</summary>
public static class Reports
{
    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>JUnit XML: a suite for each suite, a failure with what was sent, expected, came and is to be changed.</summary>
    public static string JUnit(VerificationReport report)
    {
        var suites = new XElement("testsuites", Attributes("verify", report.Results));
        foreach (var suite in BySuite(report))
            suites.Add(new XElement("testsuite", Attributes(suite.Key, [.. suite]), new XAttribute("timestamp", report.Began.ToString("s", CultureInfo.InvariantCulture)),
                new XElement("properties", Property("target", $"{report.Target}"), Property("profile", report.Profile ?? "all"), Property("seed", report.Seed.ToString(CultureInfo.InvariantCulture))),
                suite.Select(static result => new XElement("testcase", new XAttribute("classname", result.Check.Id), new XAttribute("name", Clean(result.Title)), Time(result.Duration), result.Outcome switch
                {
                    StepOutcome.Passed => null,
                    StepOutcome.NotReached => new XElement("skipped", new XAttribute("message", "a step before it failed")),
                    _ => new XElement("failure", new XAttribute("message", Clean(result.Problem ?? "")), Clean(Told(result))),
                }))));
        return new XDeclaration("1.0", "utf-8", null) + "\n" + suites + "\n";
    }

    /// <summary>JSON: the run, and of each check everything that is known.</summary>
    public static string Json(VerificationReport report) => JsonSerializer.Serialize(new
    {
        target = report.Target,
        profile = report.Profile,
        seed = report.Seed,
        began = report.Began,
        seconds = Math.Round(report.Duration.TotalSeconds, 3),
        checks = report.Results.Count,
        failed = report.Failed,
        results = report.Results.Select(static r => new
        {
            id = r.Check.Id,
            suite = r.Check.Suite,
            title = r.Title,
            outcome = r.Outcome switch { StepOutcome.Passed => "passed", StepOutcome.Failed => "failed", _ => "not-reached" },
            milliseconds = Math.Round(r.Duration.TotalMilliseconds, 1),
            source = r.Check.Source,
            sent = r.Sent.Select(static e => new { request = e.Request, answer = e.Answer, correlationId = e.CorrelationId, milliseconds = Math.Round(e.Duration.TotalMilliseconds, 1) }),
            expected = r.Expected,
            came = r.Came,
            toChange = r.Outcome == StepOutcome.Passed ? null : r.Check.Advice,
        }),
    }, Readable) + "\n";

    /// <summary>One HTML page that needs nothing beside it: pictures are SVG, and there is no script.</summary>
    public static string Html(VerificationReport report)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $$"""
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Verification of {{Text(report.Target.Authority)}}</title>
            <style>
            body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff }
            table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ccc }
            details { margin: .2rem 0 } summary { cursor: pointer } code { font-size: .9em; overflow-wrap: anywhere } dt { font-weight: 600 } dd { margin: 0 0 .5rem 1rem }
            .failed { color: #a10000 } .passed { color: #1b5e20 } .not-reached { color: #6d4c00 }
            </style></head><body>
            <h1>Verification of {{Text(report.Target.Authority)}}</h1>
            <p class="{{(report.Failed == 0 ? "passed" : "failed")}}"><strong>{{(report.Failed == 0 ? "All well" : "Not all well")}}</strong>: {{report.Results.Count - report.Failed}} of {{report.Results.Count}} checks, {{report.Began:yyyy-MM-dd HH:mm}} UTC, {{report.Duration.TotalSeconds:0.0}} s, profile {{Text(report.Profile ?? "all")}}, seed {{report.Seed}}.</p>
            {{BySuites(report)}}

            """);
        var failed = report.Results.Where(static r => r.Outcome == StepOutcome.Failed).ToList();
        if (failed.Count > 0)
        {
            text.Append("<h2>What to change</h2>\n<ul>\n");
            foreach (var result in failed)
                text.Append(CultureInfo.InvariantCulture, $"<li><code>{Text(result.Check.Id)}</code>: {Text(result.Check.Advice)} Expected {Text(result.Expected ?? "an answer that can be understood")}; came {Text(result.Came ?? "")}.</li>\n");
            text.Append("</ul>\n");
        }
        foreach (var suite in BySuite(report))
        {
            text.Append(CultureInfo.InvariantCulture, $"<h2>{Text(suite.Key)}</h2>\n");
            foreach (var result in suite)
                text.Append(Of(result));
        }
        return text.Append("</body></html>\n").ToString();
    }

    private static string Of(StepResult result)
    {
        var word = result.Outcome switch { StepOutcome.Passed => "passed", StepOutcome.Failed => "failed", _ => "not-reached" };
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"<details{(result.Outcome == StepOutcome.Failed ? " open" : "")}><summary><span class=\"{word}\">{word.Replace('-', ' ')}</span> <code>{Text(result.Check.Id)}</code> {Text(result.Title)} ({result.Duration.TotalMilliseconds:0} ms)</summary>\n<dl>");
        text.Append(CultureInfo.InvariantCulture, $"<dt>Required by</dt><dd>{Text(result.Check.Source)}</dd>");
        if (result.Sent.Count > 0)
            text.Append(CultureInfo.InvariantCulture, $"<dt>Sent, last of it</dt><dd>{string.Join("<br>", result.Sent.Select(static e => $"<code>{Text($"{e}")}</code>"))}</dd>");
        if (result.Outcome == StepOutcome.Failed)
            text.Append(CultureInfo.InvariantCulture, $"<dt>Expected</dt><dd>{Text(result.Expected ?? "an answer that can be understood")}</dd><dt>Came</dt><dd>{Text(result.Came ?? "")}</dd><dt>To change</dt><dd>{Text(result.Check.Advice)}</dd>");
        return text.Append("</dl></details>\n").ToString();
    }

    /// <summary>How many of each suite passed, as bars, with the same in words for who does not see them.</summary>
    private static string BySuites(VerificationReport report)
    {
        const int Row = 28, Left = 130, Width = 520;
        var suites = BySuite(report).ToList();
        var most = Math.Max(1, suites.Select(static s => s.Count()).DefaultIfEmpty(1).Max());
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Left + Width + 120} {Row * suites.Count}\" role=\"img\" aria-label=\"Checks by suite: {Text(string.Join("; ", suites.Select(static s => $"{s.Key} {s.Count(static r => r.Outcome == StepOutcome.Passed)} of {s.Count()}")))}\">\n");
        foreach (var (suite, i) in suites.Select(static (suite, i) => (suite, i)))
        {
            double passed = suite.Count(static r => r.Outcome == StepOutcome.Passed) * Width / (double)most, all = suite.Count() * Width / (double)most;
            text.Append(CultureInfo.InvariantCulture, $"<text x=\"0\" y=\"{i * Row + 18}\" font-size=\"14\">{Text(suite.Key)}</text><rect x=\"{Left}\" y=\"{i * Row + 4}\" width=\"{passed:0.#}\" height=\"18\" fill=\"#1b5e20\"/><rect x=\"{Left + passed:0.#}\" y=\"{i * Row + 4}\" width=\"{all - passed:0.#}\" height=\"18\" fill=\"#a10000\"/>");
            text.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left + all + 8:0.#}\" y=\"{i * Row + 18}\" font-size=\"14\">{suite.Count(static r => r.Outcome == StepOutcome.Passed)} of {suite.Count()}, {suite.Sum(static r => r.Duration.TotalSeconds):0.0} s</text>\n");
        }
        return text.Append("</svg>").ToString();
    }

    private static IEnumerable<IGrouping<string, StepResult>> BySuite(VerificationReport report) =>
        report.Results.GroupBy(static r => r.Check.Suite).OrderBy(static s => Check.Suites.ToList().IndexOf(s.Key));

    private static string Told(StepResult result) =>
        $"{result.Problem}\n{string.Concat(result.Sent.Select(static e => $"sent {e}\n"))}required by {result.Check.Source}\nto change: {result.Check.Advice}\n";

    private static object[] Attributes(string name, IReadOnlyList<StepResult> results) =>
    [
        new XAttribute("name", name), new XAttribute("tests", results.Count), new XAttribute("failures", results.Count(static r => r.Outcome == StepOutcome.Failed)),
        new XAttribute("skipped", results.Count(static r => r.Outcome == StepOutcome.NotReached)), Time(new(results.Sum(static r => r.Duration.Ticks))),
    ];

    private static XAttribute Time(TimeSpan time) => new("time", time.TotalSeconds.ToString("0.000", CultureInfo.InvariantCulture));

    private static XElement Property(string name, string value) => new("property", new XAttribute("name", name), new XAttribute("value", value));

    /// <summary>XML has no control characters, and a gateway under test may send some.</summary>
    private static string Clean(string text) => string.Concat(text.Select(static c => XmlConvert.IsXmlChar(c) ? c : '\uFFFD'));

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
