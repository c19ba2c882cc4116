using System.Text;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Tests.Fhir.Protection;

/// <summary>What is left out of a record under a non-disclosure for personal safety, and what stays as it was.</summary>
public class ContactDetailsTests
{
    private const string Address = """{"line":["Salatie 1"],"city":"Akaa"}""", Phone = """{"system":"phone","value":"0401"}""";

    [Theory]
    // The person's own.
    [InlineData($$$"""{"resourceType":"Patient","id":"1","address":[{{{Address}}}],"telecom":[{{{Phone}}}],"gender":"female"}""", """{"resourceType":"Patient","id":"1","gender":"female"}""")]
    [InlineData($$$"""{"resourceType":"RelatedPerson","address":[{{{Address}}}],"telecom":[{{{Phone}}}],"active":true}""", """{"resourceType":"RelatedPerson","active":true}""")]
    // Of a contact, who may live there too; one of whom nothing else is said is left out with the list.
    [InlineData($$$"""{"resourceType":"Patient","contact":[{"name":{"family":"Äiti"},"address":{{{Address}}},"telecom":[{{{Phone}}}]}]}""", """{"resourceType":"Patient","contact":[{"name":{"family":"Äiti"}}]}""")]
    [InlineData($$$"""{"resourceType":"Patient","contact":[{"telecom":[{{{Phone}}}]}],"active":true}""", """{"resourceType":"Patient","active":true}""")]
    // The narrative may repeat them; the text of a name is another element.
    [InlineData("""{"resourceType":"Patient","text":{"status":"generated","div":"<div>Salatie 1</div>"},"name":[{"text":"Maija Salo"}]}""", """{"resourceType":"Patient","name":[{"text":"Maija Salo"}]}""")]
    // Extensions that hold one, however deep, and the home municipality.
    [InlineData($$$"""{"resourceType":"Patient","extension":[{"url":"urn:a","valueAddress":{{{Address}}}},{"url":"urn:b","valueString":"b"},{"url":"urn:c","extension":[{"url":"x","valueContactPoint":{{{Phone}}}}]}]}""", """{"resourceType":"Patient","extension":[{"url":"urn:b","valueString":"b"}]}""")]
    [InlineData("""{"resourceType":"Patient","extension":[{"url":"https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/municipality-code","valueCoding":{"code":"020"}}],"active":true}""", """{"resourceType":"Patient","active":true}""")]
    [InlineData($$$"""{"resourceType":"Patient","contact":[{"extension":[{"url":"urn:a","valueAddress":{{{Address}}}}]}],"active":true}""", """{"resourceType":"Patient","active":true}""")]
    // Contained ones; and nobody else's.
    [InlineData($$$"""{"resourceType":"Observation","contained":[{"resourceType":"RelatedPerson","id":"r","telecom":[{{{Phone}}}]},{"resourceType":"Organization","id":"o","telecom":[{{{Phone}}}]}],"status":"final"}""", $$$"""{"resourceType":"Observation","contained":[{"resourceType":"RelatedPerson","id":"r"},{"resourceType":"Organization","id":"o","telecom":[{{{Phone}}}]}],"status":"final"}""")]
    [InlineData($$$"""{"resourceType":"Organization","telecom":[{{{Phone}}}],"text":{"status":"empty"}}""", $$$"""{"resourceType":"Organization","telecom":[{{{Phone}}}],"text":{"status":"empty"}}""")]
    // The rest byte for byte.
    [InlineData("""{"resourceType":"Patient","name":[{"family":"Öö<&\u0022"}],"multipleBirthInteger":1,"extension":[{"url":"urn:n","valueDecimal":1.50}]}""", """{"resourceType":"Patient","name":[{"family":"Öö<&\u0022"}],"multipleBirthInteger":1,"extension":[{"url":"urn:n","valueDecimal":1.50}]}""")]
    public void They_are_left_out_and_the_rest_stays(string stored, string shown) =>
        Assert.Equal(shown, Encoding.UTF8.GetString(ContactDetails.WithoutThem((ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(stored)).Span));
}
