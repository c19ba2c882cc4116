using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>The worked consents of IHE PCF: what each is here, and what is decided by it.</summary>
public class PcfConsentsTests
{
    private static readonly JsonElement[] Cases =
        [.. JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "pcf-consents.json"))).RootElement.GetProperty("cases").EnumerateArray()];

    public static TheoryData<string> Names => [.. Cases.Select(c => c.GetProperty("pcf").GetString()!)];

    [Theory, MemberData(nameof(Names))]
    public void A_worked_consent_decides_as_the_guide_says_or_is_refused_by_its_section(string name)
    {
        var vector = Cases.Single(c => c.GetProperty("pcf").GetString() == name);
        var consent = JsonNode.Parse(Declarations.Denial("0b0a55d2-799a-45f5-a161-6a4a5faad1f8", new DenialTarget.All(), ConsentWorld.Now.AddHours(-1)))!;
        consent["category"]![1]!["coding"]![0]!["code"] = vector.GetProperty("kind").GetString();
        consent["provision"] = JsonNode.Parse(vector.GetProperty("provision").GetRawText());
        using var document = JsonDocument.Parse(consent.ToJsonString());

        var (declaration, objection) = DeclarationReader.Read(document.RootElement);

        Assert.Equal(vector.GetProperty("expect").GetString(), declaration?.GetType().Name ?? objection.ToString());
        if (declaration is null)
        {
            Assert.True(vector.TryGetProperty("section", out _));
            return;
        }
        var entry = new ModelEntry("Observation", ConsentModel.Aurora, Register.Patient, "1.2.246.10.99000011.14.2026.1", "x", ProtectedService.None, null, 0, null);
        var person = new ModelPerson([ConsentWorld.Declared("informed"), .. declaration is DisclosurePermit ? [] : new[] { ConsentWorld.Declared("permit") }, ConsentWorld.Declared("emergency"), declaration],
            [new ServiceEvent(ConsentWorld.OwnEvent, ConsentModel.Revontuli, "in-progress", ConsentWorld.Now.AddDays(-1), null)], PersonFacts.Unknown);
        Assert.Equal(vector.GetProperty("decides").GetBoolean(), ConsentModel.Sees(ConsentModel.Asker("professional", who: "revontuli-laakari"), person, entry));
        if (vector.TryGetProperty("inEmergency", out var inEmergency))
            Assert.Equal(inEmergency.GetBoolean(), ConsentModel.Sees(ConsentModel.Asker("professional", who: "revontuli-laakari", purpose: "ETREAT"), person, entry));
    }
}
