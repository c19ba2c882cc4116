using System.Text;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Tests.Fhir.Formats;

/// <summary>A body as XML is read as R4 writes it, and refused with the reason when it is anything else.</summary>
public sealed class XmlBodyTests
{
    private const string Fhir = "xmlns=\"http://hl7.org/fhir\"";
    private const string Active = "<active value=\"true\"/>";

    [Theory]
    [InlineData($"<Patient {Fhir}>{Active}</Patient>")]
    [InlineData($"<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<!-- seen --><Patient {Fhir}><!-- and seen -->\n  {Active}\n</Patient>\n")]
    [InlineData($"<f:Patient xmlns:f=\"http://hl7.org/fhir\"><f:active value=\"true\"/></f:Patient>")]
    [InlineData($"\uFEFF<Patient {Fhir}>{Active}</Patient>")]
    public void Accepts_a_resource(string xml)
    {
        var (json, fault) = XmlBody.ToJson(Encoding.UTF8.GetBytes(xml));
        Assert.Null(fault);
        Assert.Equal("""{"resourceType":"Patient","active":true}""", Encoding.UTF8.GetString(json.Span));
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("{\"resourceType\":\"Patient\"}", "Malformed XML at line 1, position 1")]
    [InlineData($"<Patient {Fhir}>{Active}", "Malformed XML")]
    [InlineData($"<Patient {Fhir}>{Active}</Patient><Patient {Fhir}/>", "Malformed XML")]
    [InlineData($"<Patient {Fhir}><active value=\"true\" value=\"false\"/></Patient>", "Malformed XML")]
    [InlineData($"<Patient {Fhir}><id value=\"&#0;\"/></Patient>", "Malformed XML")]
    [InlineData($"<Patient {Fhir}><id value=\"&x;\"/></Patient>", "Malformed XML")]
    [InlineData($"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Patient {Fhir}>{Active}</Patient>", "another encoding")]
    [InlineData($"<!DOCTYPE Patient><Patient {Fhir}>{Active}</Patient>", "document type declaration")]
    [InlineData($"<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/hostname\">]><Patient {Fhir}><id value=\"&a;\"/></Patient>", "document type declaration")]
    [InlineData($"<!DOCTYPE x SYSTEM \"http://localhost:1/x.dtd\"><Patient {Fhir}>{Active}</Patient>", "document type declaration")]
    public void Rejects_what_is_not_well_formed(string xml, string reason)
    {
        var (_, fault) = XmlBody.ToJson(Encoding.UTF8.GetBytes(xml));
        Assert.Equal(FaultKind.Invalid, fault!.Kind);
        Assert.Contains(reason, fault.Issues[0].Diagnostics, StringComparison.Ordinal);
    }

    [Fact]
    public void Rejects_a_billion_laughs_at_once()
    {
        var lol = new StringBuilder("<!DOCTYPE lolz [<!ENTITY lol \"lol\">");
        for (var i = 1; i < 10; i++)
            lol.Append($"<!ENTITY lol{i} \"{string.Concat(Enumerable.Repeat($"&lol{(i == 1 ? "" : i - 1)};", 10))}\">");
        lol.Append($"]><Patient {Fhir}><id value=\"&lol9;\"/></Patient>");

        var before = GC.GetAllocatedBytesForCurrentThread();
        var (_, fault) = XmlBody.ToJson(Encoding.UTF8.GetBytes(lol.ToString()));

        Assert.Contains("document type declaration", fault!.Issues[0].Diagnostics, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Theory]
    [InlineData("utf-16")]
    [InlineData("utf-16BE")]
    [InlineData("utf-32")]
    [InlineData("iso-8859-1")]
    public void Rejects_other_encodings_than_UTF8(string encoding)
    {
        var target = Encoding.GetEncoding(encoding);
        var xml = $"<?xml version=\"1.0\" encoding=\"{encoding}\"?><Patient {Fhir}><name><family value=\"Mäki\"/></name></Patient>";
        var (_, fault) = XmlBody.ToJson((byte[])[.. target.GetPreamble(), .. target.GetBytes(xml)]);
        Assert.Equal(FaultKind.Invalid, fault!.Kind);
        Assert.Contains("UTF-8", fault.Issues[0].Diagnostics, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<extension url=\"u\">", "</extension>", "")]
    [InlineData("<p>", "</p>", "<text><status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\">")]
    public void Rejects_deep_nesting(string open, string close, string before)
    {
        const int Levels = 100_000;
        var xml = $"<Patient {Fhir}>{before}{string.Concat(Enumerable.Repeat(open, Levels))}{string.Concat(Enumerable.Repeat(close, Levels))}{(before.Length > 0 ? "</div></text>" : "")}</Patient>";
        var (_, fault) = XmlBody.ToJson(Encoding.UTF8.GetBytes(xml));
        Assert.Equal(FaultKind.Invalid, fault!.Kind);
        Assert.Contains("nested deeper", fault.Issues[0].Diagnostics, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData($"<Patient xmlns=\"urn:other\">{Active}</Patient>", "Patient", "namespace")]
    [InlineData($"<Patient>{Active}</Patient>", "Patient", "namespace")]
    [InlineData($"<Patient {Fhir}><nam value=\"x\"/></Patient>", "Patient.nam", "does not exist")]
    [InlineData($"<Patient {Fhir}><active value=\"true\" foo=\"1\"/></Patient>", "Patient.active.foo", "does not exist")]
    [InlineData($"<Patient {Fhir}>{Active}{Active}</Patient>", "Patient.active", "")]
    [InlineData($"<Patient {Fhir}>{Active}<id value=\"x\"/></Patient>", "Patient.id", "too late")]
    [InlineData($"<Patient {Fhir}>hello{Active}</Patient>", "Patient", "text where only elements")]
    [InlineData($"<Patient {Fhir}><gender value=\"x\"/></Patient>", "Patient.gender", "value set")]
    [InlineData($"<Patient {Fhir}><birthDate value=\"2000-13-45\"/></Patient>", "Patient.birthDate", "format")]
    [InlineData($"<Observation {Fhir}><status value=\"final\"/></Observation>", "Observation.code", "mandatory")]
    [InlineData($"<Observation {Fhir}><status value=\"final\"/><code><text value=\"a\"/></code><valueQuantity><value value=\"1e400\"/></valueQuantity></Observation>", "Observation.value.value", "")]
    [InlineData($"<Observation {Fhir}><status value=\"final\"/><code><text value=\"a\"/></code><valueString value=\"1\"/><valueInteger value=\"1\"/></Observation>", null, "structure")]
    [InlineData($"<Bundle {Fhir}><type value=\"batch\"/><entry><resource><Patient><gender value=\"q\"/></Patient></resource></entry></Bundle>", "Bundle.entry[0].resource.gender", "value set")]
    [InlineData("<html><body/></html>", "html", "namespace")]
    public void Rejects_what_is_no_valid_resource_with_the_element(string xml, string? expression, string reason)
    {
        var (_, fault) = XmlBody.ToJson(Encoding.UTF8.GetBytes(xml));
        Assert.Equal(FaultKind.Unprocessable, fault!.Kind);
        Assert.Contains(fault.Issues, i => i.Expression == expression && i.Diagnostics.Contains(reason, StringComparison.Ordinal));
        Assert.DoesNotContain(fault.Issues, i => i.Diagnostics.Contains("1e400", StringComparison.Ordinal) || i.Diagnostics.Contains("2000-13", StringComparison.Ordinal));
    }

    [Fact]
    public void What_comes_out_passes_the_scan_that_decides_about_it()
    {
        var (json, _) = XmlBody.ToJson(Encoding.UTF8.GetBytes($"<Observation {Fhir}><status value=\"final\"/><code><text value=\"a\"/></code><subject><reference value=\"Patient/p\"/></subject></Observation>"));
        var scan = RequestScan.Read(json.Span);
        Assert.Null(scan.Fault);
        Assert.Equal(["p"], scan.PatientIds);
    }
}
