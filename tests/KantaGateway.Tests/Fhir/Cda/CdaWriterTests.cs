// What is not there ends the test, as it should.
#pragma warning disable CS8600, CS8602, CS8603, CS8604
using System.Text;
using System.Text.Json;
using System.Xml.Linq;
using CsCheck;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Cda;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Cda;

/// <summary>A Composition becomes a CDA document of the schema's shape, and the report of it is true: what it says is mapped comes back when the document is read.</summary>
public sealed class CdaWriterTests
{
    private const string Organisation = "1.2.246.10.99000011", Snomed = "http://snomed.info/sct";

    private static readonly XNamespace V3 = CdaAdapter.Hl7;

    public static TheoryData<string> Documents => ["hoitojakso.xml", "ccd.xml", "unstructured.xml"];

    [Theory, MemberData(nameof(Documents))]
    public void A_document_that_was_received_comes_back_as_the_report_says(string name) =>
        ComesBack(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "cda", name)));

    [Fact]
    public void Any_document_comes_back_as_the_report_says() => Documented.Sample(ComesBack, iter: 60);

    /// <summary>CDA to FHIR to CDA to FHIR: every element that the second step calls mapped is in the last one what it was in the first.</summary>
    private static void ComesBack(string text)
    {
        var first = Read(Encoding.UTF8.GetBytes(text));
        var document = Written(first);
        var xml = Root(document);
        Assert.Empty(CdaSchema.Violations(xml));
        var second = Read(document.Bytes);
        var leaves = new[] { first, second }.Select(bundle => bundle.Entry.Select(static e => e.Resource).GroupBy(static r => r.TypeName)
            .SelectMany(static g => g.SelectMany((resource, i) => Leaves(JsonDocument.Parse(ResourceParser.Serialize(resource)).RootElement, $"{g.Key}[{i}]"))).ToDictionary()).ToArray();
        var (original, known) = (first.Entry.Select(static e => e.Resource).OfType<DocumentReference>().Single().MasterIdentifier, 0);
        foreach (var part in document.Report.Parts.Where(static p => p.Fate == SourceFate.Mapped))
        {
            var path = Numbered(first, part.Path);
            // Full URLs are those of the transaction. A received document keeps its id, and so does the set of versions that the Composition is.
            if (path.EndsWith(".reference", StringComparison.Ordinal) || path.StartsWith("DocumentReference[0].masterIdentifier", StringComparison.Ordinal) || path.StartsWith("Composition[0].identifier", StringComparison.Ordinal))
                continue;
            Assert.True(leaves[1].TryGetValue(path, out var value), path);
            Assert.Equal((path, leaves[0][path]), (path, value));
            known++;
        }
        Assert.True(known > 15);
        Assert.Contains(second.Entry.Select(static e => e.Resource).OfType<Composition>().Single().RelatesTo, r => r.Code == DocumentRelationshipType.Transforms && r.Target.IsExactly(original));
        // What people read is the same words.
        Assert.Equal(Words(first), Words(second));
        // Every element is accounted for, once.
        Assert.Equal(leaves[0].Keys.Order(StringComparer.Ordinal), document.Report.Parts.Select(p => Numbered(first, p.Path)).Order(StringComparer.Ordinal));
        Assert.Equal(document.Bytes, Written(first).Bytes);

        static IEnumerable<string> Words(Bundle bundle) => bundle.Entry.Select(static e => e.Resource).OfType<Composition>().Single().Section.Where(static s => s.Text is not null)
            .Select(static s => string.Join(' ', XElement.Parse(s.Text.Div).Value.Split((char[])null, StringSplitOptions.RemoveEmptyEntries)));
    }

    [Fact]
    public void What_is_no_fact_about_the_patient_becomes_no_entry()
    {
        Condition Of(string verification) => new() { Subject = new("Patient/p"), Code = new("urn:oid:1.2.246.537.6.1.1999", "F32.1"), VerificationStatus = new("http://terminology.hl7.org/CodeSystem/condition-ver-status", verification) };
        Observation Measured(Action<Observation> change)
        {
            var observation = new Observation { Subject = new("Patient/p"), Status = ObservationStatus.Final, Code = new("http://loinc.org", "8867-4"), Value = new Quantity { Value = 60, Unit = "/min", System = "http://unitsofmeasure.org", Code = "/min" } };
            change(observation);
            return observation;
        }
        MedicationStatement Taken(MedicationStatement.MedicationStatusCodes status) => new() { Subject = new("Patient/p"), Status = status, Medication = new CodeableConcept("http://www.whocc.no/atc", "N06AB06") };
        foreach (var (resource, isEntry) in new (DomainResource, bool)[]
        {
            (Of("confirmed"), true), (Of("provisional"), false), (Of("differential"), false), (Of("unconfirmed"), false), (Of("entered-in-error"), false),
            (Measured(_ => { }), true), (Measured(o => o.Status = ObservationStatus.EnteredInError), false), (Measured(o => o.Focus = [new("Patient/other")]), false),
            (Measured(o => o.ModifierExtension = [new("urn:x", new FhirBoolean(true))]), false), (Measured(o => o.Value = new Ratio { Numerator = new() { Value = 1 }, Denominator = new() { Value = 8 } }), false),
            (Taken(MedicationStatement.MedicationStatusCodes.Active), true), (Taken(MedicationStatement.MedicationStatusCodes.NotTaken), false), (Taken(MedicationStatement.MedicationStatusCodes.EnteredInError), false),
            (new MedicationRequest { Subject = new("Patient/p"), Status = MedicationRequest.MedicationrequestStatus.Active, DoNotPerform = true, Medication = new CodeableConcept("http://www.whocc.no/atc", "N06AB06") }, false),
            (new Procedure { Subject = new("Patient/p"), Status = EventStatus.Completed, Code = new(Snomed, "80146002") }, false),
        })
        {
            var document = Written(Made(resource));
            Assert.Equal((resource.TypeName, isEntry), (resource.TypeName, Root(document).Descendants(V3 + "entry").Any()));
            Assert.Equal(isEntry ? SourceFate.Mapped : SourceFate.Lost, document.Report.Parts.Single(p => p.Path == "Composition.section[0].entry[0].reference").Fate);
        }
        // What was ruled out says so, and is read as nobody's.
        var ruledOut = Written(Made(Of("refuted")));
        Assert.Equal("true", Root(ruledOut).Descendants(V3 + "observation").Single().Attribute("negationInd").Value);
        Assert.DoesNotContain(Read(ruledOut.Bytes).Entry, e => e.Resource is Condition);
        // A medicine that was stopped is not read as one that is taken.
        Assert.Equal(MedicationStatement.MedicationStatusCodes.Stopped, Read(Written(Made(Taken(MedicationStatement.MedicationStatusCodes.Stopped))).Bytes).Entry.Select(e => e.Resource).OfType<MedicationStatement>().Single().Status);
    }

    [Fact]
    public void What_has_no_code_or_unit_in_CDA_stays_as_words()
    {
        var bundle = Made(new Observation
        {
            Subject = new("Patient/p"), Status = ObservationStatus.Amended, Code = new() { Coding = [new("https://elsewhere.example/codes", "x1", "Askeleet")] }, Note = [new() { Text = "Vain muistiinpanossa." }],
            Value = new Quantity { Value = 4000, Comparator = Quantity.QuantityComparator.GreaterThan, Unit = "askelta" },
            Component = [new() { Code = new("http://loinc.org", "8480-6"), Value = new Quantity { Value = 120, Unit = "mm[Hg]", System = "http://unitsofmeasure.org", Code = "mm[Hg]" } }],
        });
        var document = Written(bundle);
        var entry = Root(document).Descendants(V3 + "entry").Single();
        Assert.Equal(("OTH", "Askeleet"), (entry.Descendants(V3 + "code").First().Attribute("nullFlavor").Value, entry.Descendants(V3 + "originalText").Single().Value));
        Assert.Equal(">4000 askelta", entry.Descendants(V3 + "value").First().Value);
        Assert.Equal(("120", "mm[Hg]"), (entry.Descendants(V3 + "value").Last().Attribute("value").Value, entry.Descendants(V3 + "value").Last().Attribute("unit").Value));
        // The section had no text: people read what programs do.
        Assert.Contains("Askeleet >4000 askelta", Root(document).Descendants(V3 + "paragraph").Single().Value);
        foreach (var (path, fate) in new[] { ("code.coding[0].code", SourceFate.Lost), ("code.coding[0].display", SourceFate.Narrative), ("valueQuantity.value", SourceFate.Narrative), ("component[0].valueQuantity.value", SourceFate.Mapped), ("status", SourceFate.Lost), ("note[0].text", SourceFate.Lost) })
            Assert.Equal((path, fate), (path, document.Report.Parts.Single(p => p.Path == "Observation/r." + path).Fate));
    }

    [Fact]
    public void Hostile_text_stays_text_and_nothing_leads_out_of_the_document()
    {
        var bundle = Made();
        var composition = (Composition)bundle.Entry[0].Resource;
        composition.Title = "</title><!DOCTYPE x>]]>&#0;<script>\uFFFE\uD800";
        composition.Section[0].Text = new()
        {
            Status = Narrative.NarrativeStatus.Additional,
            Div = "<div xmlns=\"http://www.w3.org/1999/xhtml\"><h2>Otsikko</h2><p onclick=\"x()\">A <a href=\"javascript:x()\">linkki</a> <b>1</b> <b>0</b><br/>H<sub>2<b>x</b></sub>O <img src=\"https://elsewhere.example/x.png\" alt=\"kuva\"/></p>"
                + "<div><ul><li>yksi<ol><li>kaksi</li></ol></li></ul></div><span style=\"text-decoration: line-through\">ei näin</span><table><caption>T<br/>a</caption><tfoot><tr><td>f</td></tr></tfoot><tr><td colspan=\"2\"><p>x</p><table><tr><td>sisä</td></tr></table></td><th><p>y</p></th></tr><thead><tr></tr></thead></table><ul></ul></div>",
        };
        var document = Written(bundle);
        var root = Root(document);
        Assert.Empty(CdaSchema.Violations(root));
        Assert.Equal("</title><!DOCTYPE x>]]>&#0;<script>\uFFFD\uFFFD", root.Element(V3 + "title").Value);
        Assert.DoesNotContain(root.DescendantsAndSelf().Attributes(), a => a.Value.Contains("javascript", StringComparison.Ordinal) || a.Value.Contains("elsewhere", StringComparison.Ordinal) || a.Name.LocalName == "onclick");
        var text = root.Descendants(V3 + "text").Single();
        Assert.Contains("A linkki 1 0H2xO kuva", text.Value);
        Assert.Equal("ei näin", text.Descendants(V3 + "content").Single(c => c.Attribute("revised")?.Value == "delete").Value);
        Assert.Contains("line-through", Read(document.Bytes).Entry.Select(e => e.Resource).OfType<Composition>().Single().Section[0].Text.Div);
    }

    [Fact]
    public void Without_a_person_or_from_what_was_entered_in_error_no_document_is_made()
    {
        var wrong = Made();
        ((Composition)wrong.Entry[0].Resource).Status = CompositionStatus.EnteredInError;
        foreach (var (bundle, path) in new[] { (new Bundle(), "Bundle.entry"), (wrong, "Composition.status"), (new Bundle { Entry = [Made().Entry[0]] }, "Composition.subject") })
        {
            var (document, fault) = CdaWriter.Write(bundle);
            Assert.Null(document);
            Assert.Equal((FaultKind.Unprocessable, path), (fault.Kind, fault.Issues[0].Expression));
        }
    }

    private static Bundle Made(params DomainResource[] entries)
    {
        var bundle = new Bundle
        {
            Type = Bundle.BundleType.Document,
            Entry =
            [
                new() { Resource = new Composition { Id = "c", Status = CompositionStatus.Final, Type = new("http://loinc.org", "34133-9"), Subject = new("Patient/p"), Date = "2026-11-30T10:15:00+02:00", Author = [new() { Display = "Leena Keksitty" }], Title = "Hoitokertomus",
                    Section = [new() { Title = "Osio", Entry = [.. entries.Select((_, i) => new ResourceReference($"{entries[i].TypeName}/r"))] }] } },
                new() { Resource = new Patient { Id = "p", Identifier = [new("urn:oid:1.2.246.21", "290280-9011")] } },
            ],
        };
        foreach (var entry in entries)
        {
            entry.Id = "r";
            bundle.Entry.Add(new() { Resource = entry });
        }
        return bundle;
    }

    private static WrittenDocument Written(Bundle bundle)
    {
        var (document, fault) = CdaWriter.Write(bundle);
        Assert.True(fault is null, fault?.Issues[0].ToString());
        return document;
    }

    private static XElement Root(WrittenDocument document) => XElement.Load(new MemoryStream(document.Bytes), LoadOptions.PreserveWhitespace);

    private static Bundle Read(byte[] document)
    {
        var adapted = CdaAdapter.Adapt(document, Organisation);
        Assert.Empty(adapted.Fault?.Issues.Select(i => $"{i.Expression}: {i.Diagnostics}") ?? []);
        return adapted.Bundle;
    }

    /// <summary>A path of the report with the resource's number among those of its type, which both transactions share.</summary>
    private static string Numbered(Bundle bundle, string path)
    {
        if (path.StartsWith("Composition.", StringComparison.Ordinal))
            return "Composition[0]" + path["Composition".Length..];
        var index = int.Parse(path["Bundle.entry[".Length..path.IndexOf(']')]);
        var type = bundle.Entry[index].Resource.TypeName;
        return $"{type}[{bundle.Entry.Take(index).Count(e => e.Resource.TypeName == type)}]{path[(path.IndexOf(']') + ".resource".Length + 1)..]}";
    }

    private static IEnumerable<KeyValuePair<string, string>> Leaves(JsonElement element, string path) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().Where(static m => m.Name != "resourceType").SelectMany(m => Leaves(m.Value, $"{path}.{m.Name}")),
        JsonValueKind.Array => element.EnumerateArray().SelectMany((item, i) => Leaves(item, $"{path}[{i}]")),
        _ => [new(path, element.GetRawText())],
    };

    private static readonly Gen<string> Word = OneOf("Käynti", "a < b & c", "\"lainaus\" 'x'", "💊 kahdesti", "1,0", "uni", "]]>");

    private static readonly Gen<string> When = OneOf("2026", "202611", "20261130", "202611301015", "20261130101500", "20261130101500+0000", "20260630101500");

    private static readonly Gen<string> Value = Gen.OneOf(
        Gen.Select(Gen.Int[-999, 9999], OneOf("mmol/l", "1", "mm[Hg]", "%"), Gen.Int[0, 99]).Select((n, unit, rest) => $"""<value xsi:type="PQ" value="{n}.{rest:00}" unit="{unit}"/>"""),
        Word.Select(w => $"""<value xsi:type="ST">{Escape(w)}</value>"""),
        Word.Select(w => $"""<value xsi:type="CD" code="260373001" codeSystem="2.16.840.1.113883.6.96" displayName="{Escape(w)}"><translation code="pos" codeSystem="1.2.246.537.6.9"/></value>"""),
        Gen.Bool.Select(b => $"""<value xsi:type="BL" value="{(b ? "true" : "false")}"/>"""),
        When.Select(t => $"""<value xsi:type="TS" value="{t}"/>"""),
        Gen.Int[1, 9].Select(n => $"""<value xsi:type="IVL_PQ"><low value="{n}" unit="g"/><high value="{n}0" unit="g"/></value>"""),
        Gen.Const(""));

    private static readonly Gen<string> Statement = Gen.OneOf(
        Gen.Select(When, Word, Gen.Bool).Select((t, w, isOver) => $"""<observation classCode="OBS" moodCode="EVN"><code code="19" codeSystem="1.2.246.537.6.12.2002"/><effectiveTime><low value="{t}"/>{(isOver ? $"<high value=\"{t}\"/>" : "")}</effectiveTime><value xsi:type="CD" code="F32.1" codeSystem="1.2.246.537.6.1.1999"><originalText>{Escape(w)}</originalText></value></observation>"""),
        Gen.Select(Value, When, Word, OneOf("completed", "active", "aborted"), Gen.Bool).Select((value, t, w, status, hasRange) => $"""<observation classCode="OBS" moodCode="EVN"><code code="4831" codeSystem="1.2.246.537.6.3.2006" displayName="{Escape(w)}"/><statusCode code="{status}"/><effectiveTime value="{t}"/>{value}<interpretationCode code="H"/>{(hasRange ? "<referenceRange><observationRange><text>0,4</text><value xsi:type=\"IVL_PQ\"><low value=\"0.40\" unit=\"mU/L\"/></value></observationRange></referenceRange>" : "")}</observation>"""),
        Gen.Select(When, Word, OneOf("completed", "active", "aborted", "suspended"), OneOf("EVN", "INT", "RQO")).Select((t, w, status, mood) => $"""<substanceAdministration classCode="SBADM" moodCode="{mood}"><text>{Escape(w)}</text>{(mood == "EVN" ? $"<statusCode code=\"{status}\"/>" : "")}<effectiveTime xsi:type="IVL_TS"><low value="{t}"/></effectiveTime><doseQuantity value="1.5" unit="tabl"/><consumable><manufacturedProduct><manufacturedLabeledDrug><code code="N06AB06" codeSystem="1.2.246.537.6.32"/><name>{Escape(w)}</name></manufacturedLabeledDrug></manufacturedProduct></consumable></substanceAdministration>"""));

    private static readonly Gen<string> SectionText = Gen.Select(Word, Word, Gen.Int[0, 4]).Select((a, b, kind) => kind switch
    {
        0 => $"<text>{Escape(a)}<br/>{Escape(b)}</text>",
        1 => $"<text><paragraph><content styleCode=\"xBold\">{Escape(a)}</content> <content>{Escape(b)}</content></paragraph></text>",
        2 => $"<text><list listType=\"ordered\"><item>{Escape(a)}</item> <item><list><item>{Escape(b)}</item></list></item></list></text>",
        3 => $"<text><table><thead><tr><th>{Escape(a)}</th></tr></thead><tbody><tr><td>{Escape(b)}</td></tr></tbody></table></text>",
        _ => $"<text>{Escape(a)} <content revised=\"delete\">{Escape(b)}</content></text>",
    });

    private static readonly Gen<string> SomeSection = Gen.Select(Word, SectionText, Statement.List[0, 3]).Select((title, text, statements) =>
        $"""<component><section><code code="15" codeSystem="1.2.246.537.6.12.2002"/><title>{Escape(title)}</title>{text}{string.Concat(statements.Select(s => $"<entry>{s}</entry>"))}</section></component>""");

    private static readonly Gen<string> Documented = Gen.Select(SomeSection.List[1, 4], When, Gen.Bool).Select((sections, t, hasVisit) =>
    {
        var text = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "cda", "hoitojakso.xml"));
        text = text[..(text.IndexOf("<structuredBody>", StringComparison.Ordinal) + "<structuredBody>".Length)] + string.Concat(sections) + text[text.IndexOf("</structuredBody>", StringComparison.Ordinal)..];
        text = text.Replace("<effectiveTime value=\"20261130101500\"/>", $"<effectiveTime value=\"{t}\"/>", StringComparison.Ordinal);
        return hasVisit ? text : text.Remove(text.IndexOf("<componentOf>", StringComparison.Ordinal), text.IndexOf("</componentOf>", StringComparison.Ordinal) + "</componentOf>".Length - text.IndexOf("<componentOf>", StringComparison.Ordinal));
    });

    private static Gen<string> OneOf(params string[] all) => Gen.Int[0, all.Length - 1].Select(i => all[i]);

    private static string Escape(string words) => new XText(words).ToString().Replace("\"", "&quot;", StringComparison.Ordinal);
}
