using System.Text;
using KantaGateway.Harness.Loading;

namespace KantaGateway.Tests.Fhir.Hl7v2;

/// <summary>Messages of a fictional clinic's system, about fictional people.</summary>
static class Sent
{
    public const string Organisation = "1.2.246.10.99000011", Visit = "1.2.246.10.99000011.14.2026.77";

    public static string Code(string person = "Meri") => FictionalIdentityCode.Of(person).Reveal();

    public static string Header(string type, string id, string characters = "UNICODE UTF-8") =>
        $@"MSH|^~\&|POTILAS|AURORA|KANTA|KELA|20261130101500||{type}|{id}|P|2.5||||||{characters}";

    public static string Person(string? code = null) => $"PID|1||{code ?? Code()}^^^&1.2.246.21&ISO^NNFIN~4711^^^AURORA||Järvi^Meri^Aino||19800229|F|||Rantatie 1^^Turku^^20100^FIN||+358 40 1234567|||M";

    /// <param name="tail">From PV1-44 on.</param>
    public static string Pv1(string kind = "O", string tail = "20261130100000") =>
        $"PV1|1|{kind}|POLI^12||||123456^Lääkäri^Leena{Empty(12)}{Visit}{Empty(25)}{tail}";

    public static string Join(params string[] segments) => string.Join('\r', segments) + "\r";

    public static byte[] Bytes(string message, Encoding? encoding = null) => (encoding ?? Encoding.UTF8).GetBytes(message);

    public static byte[] Arrival(string id = "1") => Bytes(Join(Header("ADT^A01^ADT_A01", id), "EVN|A01|20261130101500", Person(), Pv1("I"), "DG1|1||F32.1^Keskivaikea masennustila^1.2.246.537.6.1||20261130|F", "AL1|1|DA|J01CA04^amoksisilliini^ATC|MO|ihottuma"));

    public static byte[] Results(string id = "2", string value = "4.1") => Bytes(Join(Header("ORU^R01^ORU_R01", id), Person(), Pv1(),
        "OBR|1||L-2026-1^LAB|2993^P-Na^1.2.246.537.6.3.2006|||20261130080000" + Empty(15) + "20261130093000|||F",
        $"OBX|1|NM|2993^P-Na^1.2.246.537.6.3.2006||{value}|mmol/l^^UCUM|3.5-5.0|N|||F", "NTE|1||Paastonäyte",
        "OBX|2|SN|1234-5^Vierasesine^LN||<^5|ug/l|||||F", "OBX|3|TX|8251-1^Lausunto^LN||Ensimmäinen rivi~toinen \\T\\ kolmas||||||F"));

    public static byte[] Booking(string id = "3", string trigger = "S12", string from = "20261215090000") => Bytes(Join(Header($"SIU^{trigger}^SIU_S12", id),
        $"SCH||AJ-1^AURORA||||CHECK^Siirto|KONTR^Kontrollikäynti||30|min|^^30^{from}^{(from.Length > 0 ? from[..8] + "093000" : "")}", Person(), "RGS|1", "AIP|1||123456^Lääkäri^Leena", "AIL|1||POLI^12"));

    public static byte[] Document(string id = "4") => Bytes(Join(Header("MDM^T02^MDM_T02", id), "EVN|T02|20261130", Person(), Pv1(),
        "TXA|1|HOI^Hoitokertomus^1.2.246.537.6.12.2002|TX|20261130100000||20261130101000|||123456^Lääkäri^Leena|||1.2.246.10.99000011.11.2026.5|||||LA",
        "OBX|1|TX|^Teksti||Ensimmäinen käynti.~Hyvä yhteys.||||||F", $"OBX|2|ED|^Liite||^application^pdf^Base64^{Convert.ToBase64String("%PDF-1.7"u8)}||||||F"));

    private static string Empty(int fields) => new('|', fields);
}
