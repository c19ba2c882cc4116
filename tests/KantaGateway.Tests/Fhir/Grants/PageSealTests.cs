using CsCheck;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Fhir.Grants;

public class PageSealTests
{
    private static readonly PageSeal Seal = new(new byte[32]);
    private static readonly PageState State = new("AAAAAAAAAAAAAA", "Observation", "code=http://loinc.org|1&date=ge2030", 4711);

    [Fact]
    public void A_link_opens_for_the_caller_it_was_made_for() => Assert.Equal(State, Seal.Open(Seal.Seal(State, "clinic|person"), "clinic|person"));

    [Fact]
    public void In_another_callers_hands_a_link_opens_nothing()
    {
        Assert.Null(Seal.Open(Seal.Seal(State, "clinic|person"), "clinic|other"));
        Assert.Null(Seal.Open(Seal.Seal(State, "clinic|person"), ""));
    }

    [Fact]
    public void A_link_of_another_deployment_opens_nothing() => Assert.Null(new PageSeal([.. Enumerable.Repeat((byte)1, 32)]).Open(Seal.Seal(State, "c"), "c"));

    [Fact]
    public void A_link_with_any_byte_changed_opens_nothing()
    {
        var link = Seal.Seal(State, "c")!;
        Gen.Int[0, link.Length - 2].Sample(at =>
            Seal.Open(link[..at] + (link[at] == 'A' ? 'B' : 'A') + link[(at + 1)..], "c") is null);
    }

    [Fact]
    public void Two_links_to_the_same_place_have_nothing_in_common() => Assert.NotEqual(Seal.Seal(State, "c")![..20], Seal.Seal(State, "c")![..20]);

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("AAAA")]
    [InlineData("not base64!")]
    public void Rejects_what_it_did_not_seal(string? link) => Assert.Null(Seal.Open(link, "c"));

    [Fact]
    public void How_far_a_page_lies_into_a_record_does_not_show_in_its_link() => Gen.Select(Gen.Long[0, 1L << 40], Gen.Long[0, 1L << 40], Gen.Long[0, 1L << 40])
        .Sample((after, head, directory) => Seal.Seal(State with { After = after, Head = head, DirectoryHead = directory }, "c")!.Length == Seal.Seal(State, "c")!.Length);

    [Fact]
    public void A_query_that_would_make_a_link_longer_than_a_request_line_gets_none()
    {
        Assert.InRange(Seal.Seal(State with { Query = new string('a', 5_600) }, "c")!.Length, 7_000, PageSeal.MaxLength);
        Assert.Null(Seal.Seal(State with { Query = new string('a', 6_000) }, "c"));
    }

    [Fact]
    public void Rejects_a_link_longer_than_any_it_makes() => Assert.Null(Seal.Open(new string('A', 8196), "c"));
}
