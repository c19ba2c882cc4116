using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>The FHIR form of declarations: what is written is read back, and nothing else is a declaration.</summary>
public class DeclarationsTests
{
    private const string PatientId = "0b0a55d2-799a-45f5-a161-6a4a5faad1f8";
    private const string Event = "1.2.246.10.99000011.14.2026.1";

    [Fact]
    public void What_is_written_is_valid_FHIR_and_read_back()
    {
        var informing = Assert.IsType<Informing>(Read(Declarations.Informing(PatientId, ConsentWorld.Now)));
        Assert.True(informing.IsCurrent);
        Assert.Equal(ConsentWorld.Now, informing.At);
        Assert.True(Assert.IsType<DisclosurePermit>(Read(Declarations.Permit(PatientId, ConsentWorld.Now))).IsActive);
        Assert.IsType<DenialTarget.All>(Assert.IsType<DisclosureDenial>(Read(Declarations.Denial(PatientId, new DenialTarget.All(), ConsentWorld.Now))).Target);
        Assert.Equal(new DenialTarget.OfServiceEvent(Event), Assert.IsType<DisclosureDenial>(Read(Declarations.Denial(PatientId, new DenialTarget.OfServiceEvent(Event), ConsentWorld.Now))).Target);
    }

    [Fact]
    public void A_withdrawn_declaration_is_the_same_one_out_of_force()
    {
        using var stored = JsonDocument.Parse(Declarations.Permit(PatientId, ConsentWorld.Now));
        Assert.False(Assert.IsType<DisclosurePermit>(Read(Declarations.Withdrawn(stored.RootElement))).IsActive);
    }

    public static TheoryData<string, Action<JsonNode>> Changes => new()
    {
        { "another status", c => c["status"] = "draft" },
        { "no kind", c => c["category"]!.AsArray().RemoveAt(1) },
        { "an unknown kind", c => c["category"]![1]!["coding"]![0]!["code"] = "research" },
        { "a narrower deny: by actor", c => c["provision"]!["actor"] = JsonNode.Parse("""[{"role":{"text":"x"},"reference":{"display":"x"}}]""") },
        { "a period that cannot be read", c => c["provision"]!["period"] = JsonNode.Parse("""{"end":"soon"}""") },
        { "a modifier that nobody knows", c => c["modifierExtension"] = JsonNode.Parse("""[{"url":"https://example.org/not","valueBoolean":true}]""") },
        { "a nested exception of another purpose", c => c["provision"]!["provision"] = JsonNode.Parse("""[{"type":"permit","purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"HRESCH"}]}]""") },
        { "a permit that is called denial", c => c["provision"]!["type"] = "permit" },
        { "a single document", c => c["provision"]!["data"]![0]!["reference"]!["type"] = "DocumentReference" },
        { "another meaning", c => c["provision"]!["data"]![0]!["meaning"] = "instance" },
        { "two service events in one", c => c["provision"]!["data"]!.AsArray().Add(c["provision"]!["data"]![0]!.DeepClone()) },
        { "no OID", c => c["provision"]!["data"]![0]!["reference"]!["identifier"]!["value"] = "visit 1" },
        { "no date", c => c.AsObject().Remove("dateTime") },
    };

    [Theory, MemberData(nameof(Changes))]
    public void Anything_else_is_no_declaration(string what, Action<JsonNode> change)
    {
        Assert.NotEmpty(what);
        var consent = JsonNode.Parse(Declarations.Denial(PatientId, new DenialTarget.OfServiceEvent(Event), ConsentWorld.Now))!;
        change(consent);
        using var document = JsonDocument.Parse(consent.ToJsonString());
        Assert.Null(Declarations.Read(document.RootElement));
    }

    private static Declaration? Read(byte[] consent)
    {
        var (resource, fault) = ResourceParser.Parse(consent);
        Assert.True(resource is not null, Encoding.UTF8.GetString(consent) + fault);
        using var document = JsonDocument.Parse(consent);
        return Declarations.Read(document.RootElement);
    }
}
