using CsCheck;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Tests.Fhir.Search;

public class IndexerTests
{
    private static readonly Gen<(string Register, EntryLabels? Labels, bool Mark)> Shown = Sample.OneOf<(string, EntryLabels?, bool)>(
        (Register.Patient, null, false), (Register.Occupational("0204819-8"), new() { Services = ProtectedService.Psychiatry }, true),
        (Register.Patient, new() { Custodians = CustodianAccess.Hidden, ReleasedAt = EntryLabels.Never, About = [1, 200, int.MaxValue] }, false),
        (Register.Patient, new() { IsDelayed = true }, true), (Register.Patient, new() { IsForm = true }, false), (Register.Patient, new() { IsDelayed = true, IsForm = true }, false));

    private static readonly Gen<IndexHeader> Headers = Gen.Select(
        Sample.OneOf("Observation", "Consent", "Patient", "Encounter"), Gen.Long[0, 1L << 47], Gen.Long[0, 1L << 47], Sample.OneOf("1.2.246.10.1", "1.2.246.10.2"),
        Sample.OneOf(null, "1.2.246.10.2.14.1", "1.2.246.10.2.14.2"), Gen.Select(Gen.Bool, Shown), Gen.Long[0, 100_000_000],
        Sample.OneOf<string[]>([], ["1.2.246.10.3.14.1"], [.. Enumerable.Range(0, 300).Select(i => $"1.2.246.10.3.14.{i}")]),
        Sample.OneOf<int[]>([], [1], [1, 127, 128, int.MaxValue], [.. Enumerable.Range(1, 300)]),
        (type, first, row, controller, serviceEvent, marks, second, related, targets) => new IndexHeader
        {
            Type = type,
            ResourceSequence = first,
            RowSequence = row,
            Controller = controller,
            Register = marks.Item2.Register,
            Labels = marks.Item2.Labels,
            HasContacts = marks.Item2.Mark,
            NonDisclosure = !marks.Item2.Mark,
            ServiceEvent = serviceEvent,
            RelatedEvents = related,
            Targets = targets,
            BodySize = (int)second,
            IsDeleted = marks.Item1,
            LastUpdated = DateTimeOffset.UnixEpoch.AddMilliseconds(second),
        });

    [Fact]
    public void A_header_is_read_back_as_it_was_written() => Headers.Sample(header =>
    {
        var read = new IndexEntry(Indexer.Build(header, null)).ToHeader();
        return read.RelatedEvents.SequenceEqual(header.RelatedEvents) && read.Targets.SequenceEqual(header.Targets)
            && (read.Labels is null) == (header.Labels is null)
            && (read.Labels is not { } labels || (labels.About.SequenceEqual(header.Labels!.About) && labels with { About = header.Labels.About } == header.Labels))
            && read with { RelatedEvents = header.RelatedEvents, Targets = header.Targets, Labels = header.Labels } == header;
    });

    [Fact]
    public void Consents_encounters_and_patients_make_policy_and_patients_are_kept_per_controller() => Headers.Sample(header =>
    {
        var entry = new IndexEntry(Indexer.Build(header, null));
        return entry.IsPolicyRelevant == (header.Type is "Consent" or "Encounter" or "Patient") && entry.IsPerController == (header.Type == "Patient");
    });

    [Fact]
    public void A_broken_or_later_entry_is_an_error_and_not_an_empty_one()
    {
        var entry = Indexer.Build(new() { Type = "Observation", ResourceSequence = 1, RowSequence = 2, Controller = "1.2", LastUpdated = DateTimeOffset.UnixEpoch }, null);
        entry[0]++;
        Assert.Throws<InvalidDataException>(() => new IndexEntry(entry).Type.Length);
        Assert.Throws<InvalidDataException>(() => new IndexEntry([]).Type.Length);
    }

    [Fact]
    public void A_resource_of_another_type_than_the_header_is_refused() => Assert.Throws<ArgumentException>(() =>
        Indexer.Build(new() { Type = "Observation", ResourceSequence = 1, RowSequence = 2, Controller = "1.2", LastUpdated = DateTimeOffset.UnixEpoch }, new Patient()));

    [Fact]
    public void Every_parameter_of_R4_is_served_for_every_served_type_or_says_why_not()
    {
        foreach (var definition in ModelInfo.SearchParameters.Where(p => ResourceTypes.IsServed(p.Resource)))
            Assert.True(SearchParameters.WhyNot(definition.Name!) is not null || SearchParameters.Find(definition.Resource!, definition.Name!) is { Sources.Count: > 0 },
                $"{definition.Resource}?{definition.Name}: {definition.Expression}");
        Assert.Empty(SearchParameters.Of("Bundle"));
        Assert.Empty(SearchParameters.Of("Nonsense"));
    }
}
