#pragma warning disable CA5394 // The same number must give the same roads; nothing here is a secret.
using System.Globalization;
using KantaGateway.Tests.Repository;

namespace KantaGateway.Tests.Laws.Matrix;

/// <summary>
/// Law 4 where it is kept: for each way in which a part of a record is withheld, two records in a repository, of which one never had that part. By whatever
/// road they are asked, both answer the same bytes but for ids and times.
/// </summary>
/// <remarks>The same plans and roads as <see cref="NoSecondRoadMatrixTests"/>; <c>infra/matrix.sh</c> makes both a campaign.</remarks>
public sealed class WithheldMatrixTests
{
    private const int RoadsPerRecord = 150;

    private static readonly string[] MustLeadSomewhere = ["read", "search", "search by POST", "history", "history of type or person", "everything", "docref", "meta",
        "raw binary", "conditional read", "conditional create", "JSON Patch", "FHIRPath Patch", "transaction"];

    public static TheoryData<int> Withholdings => [.. Enumerable.Range(0, Withholding.All.Count)];

    [Theory]
    [MemberData(nameof(Withholdings))]
    public async Task Every_road_answers_as_if_what_is_withheld_had_never_been_written(int which)
    {
        var withholding = Withholding.All[which];
        var (from, records) = (Setting("KANTA_MATRIX_FROM") ?? 0, Setting("KANTA_MATRIX_RECORDS") is { } campaign ? Math.Max(4, campaign / 10) : 3);
        await using var world = await RepositoryWorld.StartAsync();
        var asked = new SortedDictionary<string, (int All, int WithContent)>(StringComparer.Ordinal);
        for (var number = from; number < from + records; number++)
        {
            var plan = new RecordPlan(number);
            var twins = (await WithheldTwin.WriteAsync(world, plan, withholding, withHidden: true), await WithheldTwin.WriteAsync(world, plan, withholding, withHidden: false));
            var roads = new Roads(plan, number);
            for (var i = 0; i < RoadsPerRecord; i++)
            {
                var road = roads.Next();
                var hasContent = await AssertSameAsync(twins, road, $"{withholding}, record {number}, road {i}");
                var (all, with) = asked.GetValueOrDefault(road.Kind);
                asked[road.Kind] = (all + 1, with + (hasContent ? 1 : 0));
            }
        }
        if (Environment.GetEnvironmentVariable("KANTA_MATRIX_REPORT") is { Length: > 0 } report)
            await File.AppendAllTextAsync(report, $"{withholding}: {asked.Values.Sum(a => a.All)} asked, {asked.Values.Sum(a => a.WithContent)} answered with content\n");
        // Two refusals are always alike: most kinds of road must have led somewhere.
        foreach (var kind in MustLeadSomewhere)
            Assert.True(asked.TryGetValue(kind, out var counts) && counts.WithContent > 0, $"{withholding}: no {kind} was answered with content.");
    }

    [Fact]
    public async Task Every_road_answers_as_if_nobody_had_written_where_a_person_under_a_non_disclosure_lives()
    {
        await using var world = await RepositoryWorld.StartAsync();
        var twins = (await WithheldTwin.WritePeopleAsync(world, withContacts: true), await WithheldTwin.WritePeopleAsync(world, withContacts: false));
        var random = new Random(7);
        var withContent = 0;
        for (var i = 0; i < 400; i++)
            withContent += await AssertSameAsync(twins, Next(), $"non-disclosure, road {i}") ? 1 : 0;
        Assert.True(withContent > 150, $"{withContent} led somewhere");

        Road Next()
        {
            var type = Pick("RelatedPerson", "RelatedPerson", "Patient", "Observation");
            var label = type == "Patient" ? "{patient}" : type == "Observation" ? "{r4}" : $"{{r{random.Next(4)}}}";
            var criteria = Pick("address=Salatie", "address:contains=ala", "address-city=A", "address-city:exact=D", "address-country=FI", "address-use=home", "address:missing=true", "address-city:missing=false",
                "telecom=0401", "phone=0405", "phone:not=0401", "email=s1@example.org", "email:missing=true", "name=paino", "name:missing=false", "_id=" + label);
            var shape = Pick("", $"&_count={random.Next(1, 3)}", $"&_sort={Pick("", "-")}{Pick("address-city", "phone", "address", "name")}&_count={random.Next(1, 4)}", "&_summary=count", "&_total=none", "&_include=*&_revinclude=*");
            return random.Next(10) switch
            {
                0 => new("read", HttpMethod.Get, $"{type}/{label}"),
                1 => new("history", HttpMethod.Get, Pick($"{type}/{label}/_history", $"{type}/_history", "_history")) { FollowsPages = true },
                2 => new("everything", HttpMethod.Get, $"Patient/{{patient}}/$everything?_count={random.Next(1, 5)}") { FollowsPages = true },
                3 => new("chain", HttpMethod.Get, $"RelatedPerson?patient.{Pick("address-city=F", "phone=0405", "telecom:missing=true", "name=Koivu")}") { FollowsPages = true },
                4 => new("reverse chain", HttpMethod.Get, $"Patient?_has:RelatedPerson:patient:{criteria}"),
                5 => new("meta", HttpMethod.Get, $"{type}/{label}/{Pick("$meta", "$validate")}"),
                6 => new("transaction", HttpMethod.Post, "", $$$"""{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"GET","url":"{{{type}}}/{{{label}}}"}},{"request":{"method":"GET","url":"RelatedPerson?{{{criteria}}}"}}]}"""),
                7 => new("conditional write", Pick(HttpMethod.Delete, HttpMethod.Patch), $"RelatedPerson?{Pick("address=Salatie", "phone=0401", "email=s2@example.org")}", """[{"op":"replace","path":"/active","value":true}]""", "application/json-patch+json"),
                8 => new("conditional create", HttpMethod.Post, "RelatedPerson", """{"resourceType":"RelatedPerson","patient":{"reference":"Patient/{patient}"},"name":[{"family":"uusi"}]}""", Headers: [("If-None-Exist", criteria), ("Prefer", "return=representation")]),
                _ => new("search", HttpMethod.Get, $"{(type == "Observation" ? "RelatedPerson" : type)}?{criteria}{shape}") { FollowsPages = true },
            };
        }

        T Pick<T>(params T[] values) => values[random.Next(values.Length)];
    }

    /// <summary>Whether the answer has content.</summary>
    private static async Task<bool> AssertSameAsync((WithheldTwin Hidden, WithheldTwin Absent) twins, Road road, string about)
    {
        var (hidden, absent) = (await twins.Hidden.AnswerAsync(road), await twins.Absent.AnswerAsync(road));
        Assert.True(hidden.Appearance == absent.Appearance,
            $"{about}, {road}\n--- hidden\n{Around(hidden.Appearance, absent.Appearance)}\n--- never written\n{Around(absent.Appearance, hidden.Appearance)}");
        return hidden.HasContent;
    }

    private static int? Setting(string name) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;

    /// <summary>The place where one parts from the other.</summary>
    private static string Around(string one, string other)
    {
        var at = one.Zip(other).TakeWhile(p => p.First == p.Second).Count();
        return one[Math.Max(0, at - 300)..Math.Min(one.Length, at + 500)];
    }
}
