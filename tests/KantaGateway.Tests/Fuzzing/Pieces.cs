using System.Text;

namespace KantaGateway.Tests.Fuzzing;

/// <summary>What the mutator puts in.</summary>
static class Pieces
{
    private static readonly string[] Values =
    [
        "", "0", "-1", "1e400", "-0", "0.0000000000000000000000000001", "9999999999999999999999999999", "NaN", "Infinity", "true", "null",
        "2026-13-45", "0000-00-00", "9999-12-31T23:59:60+14:00", "2026-02-30T25:61:61Z", "10000-01-01", "2026-11-25T12:00:00.123456789123456789Z",
        "Patient/1", "Patient/", "#", "#x", "urn:uuid:", "urn:oid:1.2", "https://localhost/fhir/Patient/1", "Observation?patient=1", "../..", "javascript:alert(1)",
        "\0", "\u0001", "\uFFFE", "\U0001F9E0", "\u202E", "%00", "a|b", "|", "||", "a,b", "\\,", "\\",
    ];

    public static IReadOnlyList<byte[]> Json { get; } = Bytes(Values, Values.Select(v => $"\"{v}\""),
    [
        "{", "}", "[", "]", ":", ",", "\"", "{}", "[]", "[null]", "{\"", "\":", "\\u0000", "\\ud800", "\\udc00\\ud800", "\\", "/*", "//", "\uFEFF",
        "\"resourceType\":\"Observation\",", "\"resourceType\":\"Bundle\",", "\"resourceType\":\"__proto__\",", "\"id\":\"x\",", "\"_id\":{\"id\":\"a\"},",
        "\"status\":\"final\",", "\"status\":\"nonsense\",", "\"_status\":{\"extension\":[{\"url\":\"u\",\"valueCode\":\"unknown\"}]},",
        "\"contained\":[{\"resourceType\":\"Patient\",\"contained\":[{\"resourceType\":\"Patient\"}]}],", "\"extension\":[{\"url\":\"u\",\"extension\":[{\"url\":\"u\"}]}],",
        "\"meta\":{\"profile\":[\"http://example.org/p\"],\"versionId\":\"1\",\"lastUpdated\":\"2026-11-25T00:00:00Z\"},",
        "\"text\":{\"status\":\"generated\",\"div\":\"<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\"><script>x</script></div>\"},",
        "\"valueQuantity\":{\"value\":1e400},", "\"valueString\":\"x\",", "\"subject\":{\"reference\":\"Patient/x\"},", "\"entry\":[{\"request\":{\"method\":\"PATCH\",\"url\":\"Patient/1\"}}],",
        "\"request\":{\"method\":\"POST\",\"url\":\"Observation\"},", "\"fullUrl\":\"urn:uuid:0\",", "\"identifier\":[{\"system\":\"urn:oid:1.2.246.21\",\"value\":\"010190-900P\"}],",
    ],
    [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xFF], [0xEF, 0xBB, 0xBF], [0x00], [0xC3]]);

    public static IReadOnlyList<byte[]> Xml { get; } = Bytes(Values, Values.Select(v => $"value=\"{v.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal)}\""),
    [
        "<", ">", "/>", "</", "&", "&amp;", "&lt;", "&x;", "&#0;", "&#x1F9E0;", "<!--", "-->", "<![CDATA[", "]]>", "<?x ?>", "<?xml version=\"1.0\" encoding=\"UTF-16\"?>", "<?xml version=\"1.1\"?>",
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>", "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">", "<!DOCTYPE x [<!ENTITY % e SYSTEM \"http://localhost:9/\">%e;]>",
        "xmlns=\"http://hl7.org/fhir\"", "xmlns=\"http://www.w3.org/1999/xhtml\"", "xmlns=\"\"", "xmlns:a=\"urn:b\"", "<a:b/>", "<id value=\"x\"/>", "<status value=\"final\"/>", "<status/>", "<status value=\"final\">text</status>",
        "<contained><Patient><contained><Patient/></contained></Patient></contained>", "<extension url=\"u\"><extension url=\"u\"/></extension>", "<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div>",
        "<Observation xmlns=\"http://hl7.org/fhir\">", "</Observation>", "<resource>", "</resource>", "<entry>", "</entry>", "<valueQuantity><value value=\"1e400\"/></valueQuantity>",
    ],
    [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xFF, 0xFE], [0xFE, 0xFF], [0xEF, 0xBB, 0xBF], [0x00], [0xC3]]);

    public static IReadOnlyList<byte[]> Search { get; } = Bytes(Values,
    [
        "&", "=", "?", ":", ".", ",", "|", "$", "\\", "%", "+", "%2", "%26", "%00", "%C0%80", "%ED%A0%80", "&_id=", "&_lastUpdated=", "&_sort=", "&_sort=-", "&_count=", "&_include=", "&_revinclude=", "&_include:iterate=", "&_has:", "&_total=", "&_summary=",
        "&_elements=", "&_tag=", "&_profile=", "&_security=", "&_text=", "&_content=", "&_filter=", "&_list=", "&_query=", "&_page=", ":missing=", ":missing=true", ":exact=", ":contains=", ":text=", ":not=", ":above=", ":below=", ":in=", ":not-in=", ":of-type=",
        ":identifier=", ":Patient", ":Patient.name", ":iterate", ".name", ".subject", ":Observation:subject:", "_has:Observation:subject:code", "Observation:subject", "Observation:*", "*", "eq", "ne", "lt", "gt", "le", "ge", "sa", "eb", "ap", "2026-11", "5.4|http://unitsofmeasure.org|mg",
        "&patient=", "&subject=", "&code=", "&date=", "&value-quantity=", "&code-value-quantity=", "&combo-code-value-quantity=", "&name=", "&identifier=", "&url=",
    ],
    [[0xC0, 0x80], [0xFF], [0x00], [0xC3]]);

    public static IReadOnlyList<byte[]> Tokens { get; } = Bytes(Values, Values.Select(v => $"\"{v}\""),
    [
        "{", "}", "[", "]", ":", ",", "\"", "{}", "[]", "[null]", "\\u0000", "\\ud800", "\\udc00\\ud800", "\\u0061", "\\", ".", "..", "=", "-", "_", "\n", "\n{}",
        "\"alg\":\"none\",", "\"alg\":\"HS256\",", "\"alg\":\"ES256\",", "\"alg\":\"PS256\",", "\"alg\":null,", "\"typ\":\"dpop+jwt\",", "\"typ\":\"at+jwt\",", "\"typ\":null,", "\"kid\":\"1\",", "\"kid\":7,",
        "\"crit\":[\"exp\"],", "\"b64\":false,", "\"zip\":\"DEF\",", "\"cty\":\"JWT\",", "\"enc\":\"A128CBC-HS256\",", "\"jku\":\"https://localhost:9/\",", "\"x5u\":\"https://localhost:9/\",", "\"x5c\":[],", "\"x5c\":[null],", "\"x5c\":[\"AAAA\"],", "\"x5c\":\"AAAA\",",
        "\"jwk\":{},", "\"jwk\":null,", "\"jwk\":[],", "\"kty\":\"RSA\",", "\"kty\":\"EC\",", "\"crv\":\"P-384\",", "\"x\":\"\",", "\"y\":null,", "\"d\":\"AAAA\",", "\"n\":\"gAAA\",", "\"e\":\"AQAB\",",
        "\"iss\":\"app\",", "\"iss\":null,", "\"sub\":null,", "\"sub\":[],", "\"aud\":null,", "\"aud\":[null],", "\"aud\":\"https://localhost/\",", "\"exp\":1,", "\"exp\":null,", "\"exp\":1e400,", "\"exp\":-1,", "\"exp\":9223372036854775807,", "\"exp\":253402300800,", "\"iat\":null,", "\"iat\":1.5,",
        "\"nbf\":9e99,", "\"jti\":\"\",", "\"jti\":null,", "\"jti\":7,", "\"nonce\":null,", "\"ath\":\"\",", "\"htm\":[],", "\"htu\":\"https://\",", "\"htu\":\"file:///\",", "\"htu\":\"https://localhost/connect/token?x#y\",", "\"cnf\":null,", "\"cnf\":[],", "\"client_id\":null,", "\"organisation\":7,",
    ],
    [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xFF], [0xEF, 0xBB, 0xBF], [0x00], [0xC3]]);

    public static IReadOnlyList<byte[]> Forms { get; } = Bytes(Values,
    [
        "&", "=", "&&", "==", "%", "%2", "%zz", "%00", "%26", "%3D", "%C0%80", "%ED%A0%80", "%FF", "+", ";", "\n", "\r\n\r\n", "application/x-www-form-urlencoded\n", "application/x-www-form-urlencoded; charset=utf-16\n", "application/x-www-form-urlencoded; charset=\"utf-8\"\n",
        "multipart/form-data; boundary=x\n", "application/json\n", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--", "grant_type=", "&client_id=app", "&client_assertion=", "&client_assertion_type=", "&token=", "&scope=", "&audience=a&audience=b", "&code=", "&code=a&code=b", "&__proto__=1", "&[]=1", "&a[b]=1",
    ],
    [[0xC0, 0x80], [0xFF], [0x00], [0xC3]]);

    private static byte[][] Bytes(IEnumerable<string> first, IEnumerable<string> second, byte[][] raw) => Bytes(first.Concat(second), [], raw);

    private static byte[][] Bytes(IEnumerable<string> first, IEnumerable<string> second, IEnumerable<string> third, byte[][] raw) =>
        [.. first.Concat(second).Concat(third).Where(p => p.Length > 0).Select(Encoding.UTF8.GetBytes), .. raw];

    private static byte[][] Bytes(string[] first, string[] second, byte[][] raw) => Bytes(first, second, [], raw);
}
