// What is not there ends the test, as it should.
#pragma warning disable CS8600, CS8602, CS8604
using System.Text;
using CsCheck;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Cda;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Cda;

/// <summary>A CDA document becomes one transaction about one person, with an account of every part of it and the document itself.</summary>
public sealed class CdaAdapterTests
{
    private const string Organisation = "1.2.246.10.99000011";

    public static TheoryData<string> Documents => ["hoitojakso.xml", "ccd.xml", "unstructured.xml"];

    private static byte[] Named(string name) => File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", "cda", name));

    [Theory, MemberData(nameof(Documents))]
    public void A_document_becomes_a_valid_transaction_with_itself_byte_for_byte(string name)
    {
        var bytes = Named(name);
        var bundle = Taken(bytes).Bundle!;
        var (parsed, fault) = ResourceParser.Parse(ResourceParser.Serialize(bundle));
        Assert.True(fault is null, fault?.Issues[0].ToString());
        Assert.Null(TransactionBundle.Read((Bundle)parsed!).Fault);
        Assert.Equal(bytes, Of<Binary>(bundle).First().Data);
        Assert.Equal(bundle.Entry.Where(e => e.Resource is Binary).Select(e => e.FullUrl), Of<DocumentReference>(bundle).Single().Content.Select(c => c.Attachment.Url));
        Assert.Equal(ResourceParser.Serialize(bundle), ResourceParser.Serialize(Taken(bytes).Bundle!));
    }

    [Fact]
    public void A_Finnish_document_keeps_its_ids_its_service_event_and_its_entries()
    {
        var bundle = Taken(Named("hoitojakso.xml")).Bundle!;
        var document = Of<DocumentReference>(bundle).Single();
        Assert.Equal("urn:oid:1.2.246.10.99000011.11.2026.42", document.MasterIdentifier.Value);
        Assert.Equal("urn:oid:1.2.246.10.99000011.11.2026.41", document.RelatesTo.Single().Target.Identifier.Value);
        var visit = Of<Encounter>(bundle).Single();
        Assert.Equal(("urn:oid:1.2.246.10.99000011.14.2026.7", Encounter.EncounterStatus.Finished), (visit.Identifier[0].Value, visit.Status));
        Assert.All(Of<DomainResource>(bundle).Where(r => r is Condition or Observation or MedicationStatement or Composition or DocumentReference), r => Assert.Equal(visit.Identifier[0].Value, ((PrimitiveType)r.Extension.Single().Value).JsonValue));
        Assert.Equal(("urn:oid:1.2.246.537.6.1.1999", "F32.1"), Of<Condition>(bundle).Select(c => (c.Code.Coding[0].System, c.Code.Coding[0].Code)).Single());
        Assert.Equal("N06AB06", ((CodeableConcept)Of<MedicationStatement>(bundle).Single().Medication).Coding[0].Code);
        var result = Of<Observation>(bundle).Single();
        Assert.Equal((2.1m, "mU/L", 0.4m), (((Quantity)result.Value).Value, ((Quantity)result.Value).Code, result.ReferenceRange[0].Low.Value));
        var composition = Of<Composition>(bundle).Single();
        Assert.Equal(["Diagnoosit", "Lääkitys", "Laboratorio", "Käynti"], composition.Section.Select(s => s.Title));
        Assert.Equal([1, 1, 1, 0], composition.Section.Select(s => s.Entry.Count));
        Assert.Contains("Hyvä &lt;yhteys&gt;.<br/>", composition.Section[3].Text.Div);
        Assert.Equal(["1", "1", "3"], composition.Category.Select(c => c.Coding[0].Code));
    }

    /// <summary>What a diagnosis that was ruled out says is read by people, and is nobody's diagnosis.</summary>
    [Fact]
    public void The_report_says_of_every_attribute_and_text_what_became_of_it()
    {
        var adapted = Taken(Named("hoitojakso.xml"));
        var parts = adapted.Report.Parts.ToDictionary(p => p.Path);
        foreach (var (path, fate) in new (string, SourceFate)[]
        {
            ("/ClinicalDocument/recordTarget/patientRole/id/@extension", SourceFate.Mapped), ("/ClinicalDocument/title/text()", SourceFate.Mapped),
            ("/ClinicalDocument/hl7fi:localHeader/hl7fi:recordStatus/@code", SourceFate.Mapped), ("/ClinicalDocument/hl7fi:localHeader/hl7fi:retentionPeriodClass/@code", SourceFate.Lost),
            ("/ClinicalDocument/hl7fi:localHeader/hl7fi:softwareSupport/@product", SourceFate.Lost),
            ("/ClinicalDocument/component/structuredBody/component[1]/section/text/paragraph/text()", SourceFate.Narrative),
            ("/ClinicalDocument/component/structuredBody/component[1]/section/entry[1]/observation/value/@code", SourceFate.Mapped),
            ("/ClinicalDocument/component/structuredBody/component[1]/section/entry[2]/observation/value/@code", SourceFate.Narrative),
        })
            Assert.Equal((path, fate), (path, parts.TryGetValue(path, out var part) ? part.Fate : (SourceFate)(-1)));
        Assert.DoesNotContain(adapted.Report.Parts, p => p.Path.Contains("290280", StringComparison.Ordinal));
        // A code that no element of FHIR says is not called mapped because it was looked at.
        var odd = Encoding.UTF8.GetString(Named("unstructured.xml")).Replace("code=\"HH\"", "code=\"X9\"", StringComparison.Ordinal).Replace("code=\"F\"", "code=\"X9\"", StringComparison.Ordinal).Replace("code=\"N\"", "code=\"X9\"", StringComparison.Ordinal);
        var lost = Taken(Encoding.UTF8.GetBytes(odd)).Report.Lost;
        foreach (var path in new[] { "componentOf/encompassingEncounter/code/@code", "recordTarget/patientRole/patient/administrativeGenderCode/@code", "confidentialityCode/@code", "confidentialityCode/@codeSystem" })
            Assert.Contains("/ClinicalDocument/" + path, lost);
    }

    [Fact]
    public void A_document_of_another_country_is_taken_with_the_same_report()
    {
        var adapted = Taken(Named("ccd.xml"));
        var problem = Of<Condition>(adapted.Bundle!).Single();
        Assert.Equal(("http://snomed.info/sct", "233604007", "resolved"), (problem.Code.Coding[0].System, problem.Code.Coding[0].Code, problem.ClinicalStatus.Coding[0].Code));
        Assert.Contains("/ClinicalDocument/recordTarget/patientRole/patient/*:deceasedInd/@value", adapted.Report.Lost);
    }

    /// <summary>A level-1 document is the same document twice: in XML, and as whatever it holds.</summary>
    [Fact]
    public void A_body_that_is_no_XML_is_kept_as_what_it_is()
    {
        var adapted = Taken(Named("unstructured.xml"));
        var body = Of<Binary>(adapted.Bundle!).Last();
        Assert.Equal(("application/pdf", "%PDF-1.7\n% Nothing to see.\n"), (body.ContentType, Encoding.ASCII.GetString(body.Data)));
        var attachment = Of<DocumentReference>(adapted.Bundle).Single().Content[1].Attachment;
        Assert.True(attachment.ContentType == body.ContentType && attachment.SizeUnsignedInt == body.Data.Length);
        Assert.Equal("HH", Of<Encounter>(adapted.Bundle).Single().Class.Code);
        Assert.Empty(Of<Composition>(adapted.Bundle).Single().Section);
        Assert.Equal(
            ["/ClinicalDocument/realmCode/@code", "/ClinicalDocument/recordTarget/patientRole/patient/raceCode/@code"],
            adapted.Report.Lost.Where(p => p.EndsWith("/@code", StringComparison.Ordinal)));
        Assert.Contains(adapted.Report.Parts, p => p is { Path: "/ClinicalDocument/component/nonXMLBody/text/text()", Fate: SourceFate.Mapped, Target: "Binary" });

        // What leads elsewhere is not fetched, what is packed not unpacked: both stay in the original.
        foreach (var (right, other) in new[] { ("representation=\"B64\">", "representation=\"B64\" compression=\"GZ\">"), ("<text mediaType=\"application/pdf\" representation=\"B64\">", "<text><reference value=\"https://elsewhere.example/x.pdf\"/>") })
            Assert.Single(Of<Binary>(Taken(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(Named("unstructured.xml")).Replace(right, other, StringComparison.Ordinal))).Bundle!));
        var broken = CdaAdapter.Adapt(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(Named("unstructured.xml")).Replace("JVBERi0xLjcK", "JVBE*", StringComparison.Ordinal)), Organisation);
        Assert.Equal("/ClinicalDocument/component/nonXMLBody/text/text()", broken.Fault!.Issues.Single().Expression);
    }

    [Fact]
    public void Words_stay_apart_and_what_was_struck_out_or_nullified_does_not_stand()
    {
        var text = Encoding.UTF8.GetString(Named("hoitojakso.xml")).Replace("Jatketaan.", "<content>1</content> <content>0</content> <content revised=\"delete\">Lopetetaan.</content>", StringComparison.Ordinal)
            .Replace("<statusCode code=\"completed\"/><effectiveTime value=\"20261129080000\"/>", "<statusCode code=\"nullified\"/><effectiveTime value=\"20261129080000\"/>", StringComparison.Ordinal);
        var bundle = Taken(Encoding.UTF8.GetBytes(text)).Bundle!;
        Assert.EndsWith("<br/><span>1</span> <span>0</span> <span style=\"text-decoration: line-through\">Lopetetaan.</span></div>", Of<Composition>(bundle).Single().Section[3].Text.Div);
        Assert.Empty(Of<Observation>(bundle));
        Assert.Null(ResourceParser.Parse(ResourceParser.Serialize(bundle)).Fault);
    }

    public static TheoryData<string, string, FaultKind, string> Bad => new()
    {
        { "<ClinicalDocument xmlns=\"urn:hl7-org:v3\" ", "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><ClinicalDocument xmlns=\"urn:hl7-org:v3\" ", FaultKind.Invalid, "/" },
        { "<title>Hoitokertomus</title>", "<title>&amp;#0;&e;</title>", FaultKind.Invalid, "/ClinicalDocument/title" },
        { "<title>Hoitokertomus</title>", "<title>", FaultKind.Invalid, "/ClinicalDocument/title" },
        { "extension=\"290280-9011\"", "extension=\"290280-9012\"", FaultKind.Unprocessable, "/ClinicalDocument/recordTarget/patientRole/id/@extension" },
        { "root=\"1.2.246.21\"", "root=\"1.2.3\"", FaultKind.Unprocessable, "/ClinicalDocument/recordTarget/patientRole/id" },
        { "<effectiveTime value=\"20261130101500\"/>", "", FaultKind.Unprocessable, "/ClinicalDocument/effectiveTime" },
        { "<effectiveTime value=\"20261130101500\"/>", "<effectiveTime value=\"eilen\"/>", FaultKind.Unprocessable, "/ClinicalDocument/effectiveTime/@value" },
        { "<id root=\"1.2.246.10.99000011.11.2026\" extension=\"42\"/>", "", FaultKind.Unprocessable, "/ClinicalDocument/id" },
        { "value=\"2.1\"", "value=\"2,1\"", FaultKind.Unprocessable, "/ClinicalDocument/component/structuredBody/component[3]/section/entry/organizer/component/observation/value/@value" },
        { "urn:hl7-org:v3", "urn:other", FaultKind.Unprocessable, "/" },
        { "</recordTarget>", "</recordTarget><recordTarget><patientRole/></recordTarget>", FaultKind.Unprocessable, "/ClinicalDocument/recordTarget" },
    };

    [Theory, MemberData(nameof(Bad))]
    public void What_is_wrong_is_named_by_its_path(string right, string wrong, FaultKind kind, string path)
    {
        var text = Encoding.UTF8.GetString(Named("hoitojakso.xml"));
        Assert.Contains(right, text);
        var adapted = CdaAdapter.Adapt(Encoding.UTF8.GetBytes(text.Replace(right, wrong, StringComparison.Ordinal)), Organisation);
        Assert.Null(adapted.Bundle);
        Assert.Equal(kind, adapted.Fault!.Kind);
        Assert.Contains(path, adapted.Fault.Issues.Select(i => i.Expression));
        Assert.DoesNotContain(adapted.Fault.Issues, i => i.Diagnostics.Contains("290280", StringComparison.Ordinal) || i.Diagnostics.Contains("root:", StringComparison.Ordinal));
    }

    [Fact]
    public void Depth_number_and_encoding_have_bounds()
    {
        Refused(Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("<a>", CdaXml.MaxDepth + 1))), "deeper");
        Refused(Encoding.UTF8.GetBytes("<a>" + string.Concat(Enumerable.Repeat("<b/>", CdaXml.MaxNodes + 1)) + "</a>"), "more than");
        Refused([.. "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>"u8, 0xE4, .. "</a>"u8], "encoding");
        Refused([.. "<?xml version=\"1.0\" encoding=\"ebcdic-9\"?><a/>"u8], "");
        Refused([], "");
        var latin = Encoding.Latin1.GetBytes(Encoding.UTF8.GetString(Named("hoitojakso.xml")).Replace("encoding=\"UTF-8\"", "encoding=\"ISO-8859-1\"", StringComparison.Ordinal));
        Assert.Contains(Of<Composition>(Taken(latin).Bundle!).Single().Section, s => s.Title == "Lääkitys");

        static void Refused(byte[] bytes, string words)
        {
            var fault = CdaAdapter.Adapt(bytes, Organisation).Fault;
            Assert.Equal(FaultKind.Invalid, fault?.Kind);
            Assert.Contains(words, fault!.Issues[0].Diagnostics);
        }
    }

    [Fact]
    public void Damaged_documents_are_answered_and_never_crash()
    {
        var whole = Named("hoitojakso.xml");
        Gen.Select(Gen.Int[0, whole.Length - 1], Gen.Int[0, whole.Length - 1], Gen.Byte, Gen.Int[0, 2]).Sample((at, to, put, how) =>
        {
            byte[] damaged = how switch { 0 => whole[..at], 1 => [.. whole[..at], put, .. whole[(at + 1)..]], _ => [.. whole[..Math.Max(at, to)], .. whole[Math.Min(at, to)..]] };
            var adapted = CdaAdapter.Adapt(damaged, Organisation);
            Assert.Equal(adapted.Fault is null, adapted.Bundle is not null);
        }, iter: 500);
    }

    private static IEnumerable<T> Of<T>(Bundle bundle) where T : Resource => bundle.Entry.Select(static e => e.Resource).OfType<T>();

    private static AdaptedDocument Taken(byte[] document)
    {
        var adapted = CdaAdapter.Adapt(document, Organisation);
        Assert.Empty(adapted.Fault?.Issues.Select(i => $"{i.Expression}: {i.Diagnostics}") ?? []);
        return adapted;
    }
}
