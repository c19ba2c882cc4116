using System.Globalization;
using KantaGateway.Harness.Loading;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Laws.Matrix;

/// <summary>
/// Law 4 over the whole surface: two houses, in one a part of a person's record is denied, in the other that part was never
/// written. Whatever a reader asks, by whatever road, both answer the same bytes but for ids and times.
/// </summary>
/// <remarks>
/// Records and requests are random and repeatable. A test run asks a sample; <c>KANTA_MATRIX_RECORDS</c> (and
/// <c>KANTA_MATRIX_FROM</c>) make it a campaign, see <c>infra/matrix.sh</c>.
/// </remarks>
public sealed class NoSecondRoadMatrixTests(ITestOutputHelper output)
{
    private const int RoadsPerRecord = 150;

    [Fact]
    public async Task Every_road_answers_as_if_the_denied_part_had_never_been_written()
    {
        var from = Setting("KANTA_MATRIX_FROM") ?? 0;
        var records = Setting("KANTA_MATRIX_RECORDS") ?? 20;
        await using var hidden = await HouseInMemory.OpenAsync();
        await using var absent = await HouseInMemory.OpenAsync();
        var asked = new SortedDictionary<string, (int All, int WithContent)>(StringComparer.Ordinal);
        for (var number = from; number < from + records; number++)
        {
            var plan = new RecordPlan(number);
            Assert.Contains(plan.Resources, r => r.IsHidden);
            var code = FictionalIdentityCode.Of("matrix" + number.ToString(CultureInfo.InvariantCulture)).Reveal();
            var twins = await Task.WhenAll(Twin.WriteAsync(hidden, plan, code, withHidden: true), Twin.WriteAsync(absent, plan, code, withHidden: false));
            var roads = new Roads(plan, number);
            for (var i = 0; i < RoadsPerRecord; i++)
            {
                var road = roads.Next();
                var answers = await Task.WhenAll(twins[0].AnswerAsync(road), twins[1].AnswerAsync(road));
                Assert.True(answers[0].Appearance == answers[1].Appearance,
                    $"Record {number}, road {i}, {road}\n--- hidden\n{Around(answers[0].Appearance, answers[1].Appearance)}\n--- never written\n{Around(answers[1].Appearance, answers[0].Appearance)}");
                var (all, with) = asked.GetValueOrDefault(road.Kind);
                asked[road.Kind] = (all + 1, with + (answers[0].HasContent ? 1 : 0));
            }
        }
        foreach (var (kind, (all, with)) in asked)
            output.WriteLine($"{kind}: {all} asked, {with} answered with content");
        if (Environment.GetEnvironmentVariable("KANTA_MATRIX_REPORT") is { Length: > 0 } report)
            await File.AppendAllLinesAsync(report, asked.Select(a => $"{a.Key}: {a.Value.All} asked, {a.Value.WithContent} answered with content"));
        // Two refusals are always alike: most kinds of road must have led somewhere.
        foreach (var kind in (string[])["read", "search", "search by POST", "history", "history of type or person", "everything", "docref", "meta", "validate what is stored", "raw binary", "format", "conditional read", "conditional create", "conditional update", "conditional patch", "JSON Patch", "FHIRPath Patch", "publish a document", "transaction", "batch", "batch that writes"])
            Assert.True(asked.TryGetValue(kind, out var counts) && counts.WithContent > 0, $"No {kind} was answered with content.");
    }

    private static int? Setting(string name) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;

    /// <summary>The place where one parts from the other.</summary>
    private static string Around(string one, string other)
    {
        var at = one.Zip(other).TakeWhile(p => p.First == p.Second).Count();
        var from = Math.Max(0, at - 300);
        return one[from..Math.Min(one.Length, at + 500)];
    }
}
